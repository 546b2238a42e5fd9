// Package browser holds the tests of the console in a real browser. It is a module of
// its own, so that what they need reaches no program that imports gdtls.
package browser

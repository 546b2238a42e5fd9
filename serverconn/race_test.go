//go:build race

package serverconn_test

// raceDetector tells whether the race detector slows everything down.
const raceDetector = true

//go:build !unix

package datagram

// systemDriver returns nil: there are no readiness-based system calls here, so
// every conn is driven through its own methods.
func systemDriver(*Socket, Capability) driver { return nil }

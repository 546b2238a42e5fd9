//go:build race

package handshake

// The race detector makes sync.Pool forget at random.
const raceEnabled = true

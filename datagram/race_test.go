//go:build race

package datagram

// raceEnabled: sync.Pool drops things at random then, so allocations cannot be
// counted.
const raceEnabled = true

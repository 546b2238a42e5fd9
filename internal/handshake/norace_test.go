//go:build !race

package handshake

const raceDetector = false

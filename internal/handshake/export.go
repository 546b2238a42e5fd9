package handshake

import (
	"fmt"
	"slices"

	"github.com/pion/dtls/v2/pkg/crypto/prf"
)

const (
	maxExportContext = 1<<16 - 1 // its length has two bytes
	maxExport        = 1 << 16   // bytes at once; a bound of ours
)

// reservedLabels are those of TLS itself, under which nothing may be exported.
var reservedLabels = []string{labelClient, labelServer, labelMaster, labelExtendedMaster, labelKeys}

// Export derives keying material for other protocols (RFC 5705 4). A nil context is
// none, which is not the same as an empty one.
func (s *Suite) Export(master []byte, client, server *[32]byte, label string, context []byte, length int) ([]byte, error) {
	switch {
	case label == "" || slices.Contains(reservedLabels, label):
		return nil, fmt.Errorf("label %q cannot be used to export keying material", label)
	case len(context) > maxExportContext:
		return nil, fmt.Errorf("context of %d bytes, at most %d are allowed", len(context), maxExportContext)
	case length < 1 || length > maxExport:
		return nil, fmt.Errorf("%d bytes of keying material: 1 to %d can be had", length, maxExport)
	}
	seed := slices.Concat([]byte(label), client[:], server[:])
	if context != nil {
		seed = append(seed, byte(len(context)>>8), byte(len(context)))
		seed = append(seed, context...)
	}
	return prf.PHash(master, seed, length, s.hash.New)
}

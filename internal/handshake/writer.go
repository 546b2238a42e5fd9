package handshake

import (
	"encoding/binary"

	"github.com/pion/dtls/v2/pkg/protocol/extension"
)

// writer appends the parts of a hello. What is behind a length is written between
// open16, which gives the place of the length, and close16.
type writer []byte

func (w *writer) uint8(v uint8)       { *w = append(*w, v) }
func (w *writer) uint16(v uint16)     { *w = binary.BigEndian.AppendUint16(*w, v) }
func (w *writer) bytes(v []byte)      { *w = append(*w, v...) }
func (w *writer) string(v string)     { *w = append(*w, v...) }
func (w *writer) bytes8(v []byte)     { *w = append(append(*w, byte(len(v))), v...) }
func (w *writer) open16() (place int) { *w = append(*w, 0, 0); return len(*w) - 2 }
func (w *writer) close16(place int) {
	binary.BigEndian.PutUint16((*w)[place:], uint16(len(*w)-place-2))
}

func (w *writer) openExtension(t extension.TypeValue) (place int) {
	w.uint16(uint16(t))
	return w.open16()
}

// emptyRenegotiationInfo is that of a connection's first handshake (RFC 5746 3.2).
func (w *writer) emptyRenegotiationInfo() {
	e := w.openExtension(extension.RenegotiationInfoTypeValue)
	w.uint8(0)
	w.close16(e)
}

func (w *writer) protocols(names ...string) {
	e := w.openExtension(extension.ALPNTypeValue)
	list := w.open16()
	for _, name := range names {
		w.uint8(uint8(len(name)))
		w.string(name)
	}
	w.close16(list)
	w.close16(e)
}

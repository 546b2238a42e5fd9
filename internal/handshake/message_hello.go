package handshake

import (
	"crypto/tls"
	"slices"

	"github.com/pion/dtls/v2/pkg/crypto/elliptic"
	"github.com/pion/dtls/v2/pkg/protocol/extension"
	"golang.org/x/crypto/cryptobyte"

	"gdtls/internal/record"
)

// ClientHello is what a client offers (RFC 6347 4.2.1, RFC 5246 7.4.1.2). Its
// slices alias the message it was parsed from.
type ClientHello struct {
	Version            uint16
	Random             [32]byte
	SessionID          []byte
	Cookie             []byte
	Suites             []uint16
	Compressions       []byte
	ServerName         string
	Groups             []elliptic.Curve
	PointFormats       []byte
	SignatureSchemes   []tls.SignatureScheme
	ALPN               []string
	Ticket             []byte // RFC 5077; what the server sealed for itself
	ExtendedMaster     bool   // RFC 7627
	SecureRenegotiate  bool   // RFC 5746, by extension or by SCSV
	renegotiates       bool   // the extension tells of a handshake before this one
	hasPointFormats    bool
	hasGroups          bool
	hasSignatureScheme bool
	hasTicket          bool
}

// serverHello is a server's choice (RFC 5246 7.4.1.3).
type serverHello struct {
	version           uint16
	random            [32]byte
	sessionID         []byte
	suite             uint16
	compression       uint8
	pointFormats      bool // uncompressed points, the only ones that are left (RFC 8422 5.1.2)
	compressedOnly    bool // point formats came without them
	serverName        bool // the client's server_name was used (RFC 6066 3)
	alpn              string
	sessionTicket     bool // a NewSessionTicket will follow (RFC 5077 3.2)
	extendedMaster    bool
	secureRenegotiate bool
	renegotiates      bool                  // the extension tells of a handshake before this one
	extensions        []extension.TypeValue // in the order they came
}

func (h *ClientHello) marshal() []byte {
	b := writer(make([]byte, 0, 256+len(h.Ticket)))
	b.uint16(h.Version)
	b.bytes(h.Random[:])
	b.bytes8(h.SessionID)
	b.bytes8(h.Cookie)
	suites := b.open16()
	for _, id := range h.Suites {
		b.uint16(id)
	}
	b.close16(suites)
	b.bytes8(h.Compressions)
	extensions := b.open16()
	if h.ServerName != "" {
		e := b.openExtension(extension.ServerNameTypeValue)
		list := b.open16()
		b.uint8(0) // host_name
		name := b.open16()
		b.string(h.ServerName)
		b.close16(name)
		b.close16(list)
		b.close16(e)
	}
	if h.ExtendedMaster {
		b.close16(b.openExtension(extension.UseExtendedMasterSecretTypeValue))
	}
	if h.SecureRenegotiate {
		b.emptyRenegotiationInfo()
	}
	if len(h.Groups) > 0 {
		e := b.openExtension(extension.SupportedEllipticCurvesTypeValue)
		list := b.open16()
		for _, g := range h.Groups {
			b.uint16(uint16(g))
		}
		b.close16(list)
		b.close16(e)
	}
	if len(h.PointFormats) > 0 {
		e := b.openExtension(extension.SupportedPointFormatsTypeValue)
		b.bytes8(h.PointFormats)
		b.close16(e)
	}
	if len(h.SignatureSchemes) > 0 {
		e := b.openExtension(extension.SupportedSignatureAlgorithmsTypeValue)
		list := b.open16()
		for _, s := range h.SignatureSchemes {
			b.uint16(uint16(s))
		}
		b.close16(list)
		b.close16(e)
	}
	if len(h.ALPN) > 0 {
		b.protocols(h.ALPN...)
	}
	if h.hasTicket {
		e := b.openExtension(extensionSessionTicket)
		b.bytes(h.Ticket)
		b.close16(e)
	}
	b.close16(extensions)
	return b // lengths are bounded by the configuration, which the constructors check, and by maxPeerTicket
}

// unmarshal reads a ClientHello, which keeps body. Where the hello is malformed it
// stands as far as it was read.
func (h *ClientHello) unmarshal(body []byte) bool {
	s := cryptobyte.String(body)
	var suites cryptobyte.String
	if !s.ReadUint16(&h.Version) || !s.CopyBytes(h.Random[:]) ||
		!readBytes8(&s, &h.SessionID) || len(h.SessionID) > 32 ||
		!readBytes8(&s, &h.Cookie) ||
		!s.ReadUint16LengthPrefixed(&suites) || suites.Empty() || len(suites)%2 != 0 ||
		!readBytes8(&s, &h.Compressions) || len(h.Compressions) == 0 {
		return false
	}
	h.Suites = make([]uint16, 0, len(suites)/2)
	for !suites.Empty() {
		var id uint16
		suites.ReadUint16(&id)
		h.Suites = append(h.Suites, id)
		if id == scsvRenegotiation {
			h.SecureRenegotiate = true
		}
	}
	if s.Empty() {
		return true
	}
	return eachExtension(&s, func(t extension.TypeValue, data cryptobyte.String) bool {
		switch t {
		case extension.ServerNameTypeValue:
			return readServerName(data, &h.ServerName)
		case extension.UseExtendedMasterSecretTypeValue:
			h.ExtendedMaster = true
			return data.Empty()
		case extension.RenegotiationInfoTypeValue:
			h.SecureRenegotiate = true
			return readRenegotiationInfo(data, &h.renegotiates)
		case extension.SupportedEllipticCurvesTypeValue:
			h.hasGroups = true
			var list cryptobyte.String
			if !data.ReadUint16LengthPrefixed(&list) || !data.Empty() || list.Empty() || len(list)%2 != 0 {
				return false
			}
			h.Groups = make([]elliptic.Curve, 0, len(list)/2)
			for !list.Empty() {
				var g uint16
				list.ReadUint16(&g)
				h.Groups = append(h.Groups, elliptic.Curve(g))
			}
		case extension.SupportedPointFormatsTypeValue:
			h.hasPointFormats = true
			return readBytes8(&data, &h.PointFormats) && data.Empty() && len(h.PointFormats) > 0
		case extension.SupportedSignatureAlgorithmsTypeValue:
			h.hasSignatureScheme = true
			return readSchemes(&data, &h.SignatureSchemes) && data.Empty()
		case extension.ALPNTypeValue:
			return readProtocols(data, &h.ALPN)
		case extensionSessionTicket:
			h.hasTicket, h.Ticket = true, data
		}
		return true // one that we do not know
	}) && s.Empty()
}

func (h *serverHello) marshal() []byte {
	b := writer(make([]byte, 0, 128))
	b.uint16(h.version)
	b.bytes(h.random[:])
	b.bytes8(h.sessionID)
	b.uint16(h.suite)
	b.uint8(h.compression)
	extensions := b.open16()
	if h.serverName {
		b.close16(b.openExtension(extension.ServerNameTypeValue))
	}
	if h.secureRenegotiate {
		b.emptyRenegotiationInfo()
	}
	if h.extendedMaster {
		b.close16(b.openExtension(extension.UseExtendedMasterSecretTypeValue))
	}
	if h.pointFormats {
		e := b.openExtension(extension.SupportedPointFormatsTypeValue)
		b.bytes8(uncompressedOnly)
		b.close16(e)
	}
	if h.alpn != "" {
		b.protocols(h.alpn)
	}
	if h.sessionTicket {
		b.close16(b.openExtension(extensionSessionTicket))
	}
	if len(b) == extensions+2 {
		return b[:extensions] // a client that sent no extensions expects none
	}
	b.close16(extensions)
	return b
}

// The only values that are left of two lists.
var (
	nullCompression  = []byte{0}
	uncompressedOnly = []byte{0}
)

func (h *serverHello) unmarshal(body []byte) bool {
	s := cryptobyte.String(body)
	if !s.ReadUint16(&h.version) || !s.CopyBytes(h.random[:]) ||
		!readBytes8(&s, &h.sessionID) || len(h.sessionID) > 32 ||
		!s.ReadUint16(&h.suite) || !s.ReadUint8(&h.compression) {
		return false
	}
	if s.Empty() {
		return true
	}
	return eachExtension(&s, func(t extension.TypeValue, data cryptobyte.String) bool {
		h.extensions = append(h.extensions, t)
		switch t {
		case extension.ServerNameTypeValue:
			// RFC 6066 3: the server's acknowledgement is empty.
			h.serverName = true
			return data.Empty()
		case extension.UseExtendedMasterSecretTypeValue:
			h.extendedMaster = true
			return data.Empty()
		case extension.RenegotiationInfoTypeValue:
			h.secureRenegotiate = true
			return readRenegotiationInfo(data, &h.renegotiates)
		case extension.SupportedPointFormatsTypeValue:
			var formats []byte
			if !readBytes8(&data, &formats) || !data.Empty() || len(formats) == 0 {
				return false
			}
			h.pointFormats = slices.Contains(formats, 0)
			h.compressedOnly = !h.pointFormats
		case extension.ALPNTypeValue:
			var names []string
			if !readProtocols(data, &names) || len(names) != 1 {
				return false
			}
			h.alpn = names[0]
		case extensionSessionTicket:
			h.sessionTicket = true
			return data.Empty()
		}
		return true
	}) && s.Empty()
}

// helloVerifyRequest is the body of a HelloVerifyRequest (RFC 6347 4.2.1).
func appendHelloVerifyRequest(dst, cookie []byte) []byte {
	dst = append(dst, byte(record.VersionDTLS10>>8), byte(record.VersionDTLS10&0xff), byte(len(cookie)))
	return append(dst, cookie...)
}

func parseHelloVerifyRequest(body []byte) (cookie []byte, ok bool) {
	s := cryptobyte.String(body)
	var version uint16
	return cookie, s.ReadUint16(&version) && version>>8 == 0xfe && readBytes8(&s, &cookie) && s.Empty()
}

// eachExtension reads an extensions block; one type may come but once
// (RFC 5246 7.4.1.4).
func eachExtension(s *cryptobyte.String, each func(extension.TypeValue, cryptobyte.String) bool) bool {
	var block cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&block) {
		return false
	}
	const most = 64 // more than are registered for one hello by far
	var seen [most]extension.TypeValue
	n := 0
	for !block.Empty() {
		var t uint16
		var data cryptobyte.String
		if n == most || !block.ReadUint16(&t) || !block.ReadUint16LengthPrefixed(&data) ||
			slices.Contains(seen[:n], extension.TypeValue(t)) || !each(extension.TypeValue(t), data) {
			return false
		}
		seen[n] = extension.TypeValue(t)
		n++
	}
	return true
}

// readRenegotiationInfo reads the extension of RFC 5746 3.2, which is empty in the
// first handshake of a connection.
func readRenegotiationInfo(data cryptobyte.String, renegotiates *bool) bool {
	var info cryptobyte.String
	ok := data.ReadUint8LengthPrefixed(&info) && data.Empty()
	*renegotiates = !info.Empty()
	return ok
}

func readServerName(data cryptobyte.String, name *string) bool {
	var list cryptobyte.String
	if !data.ReadUint16LengthPrefixed(&list) || !data.Empty() || list.Empty() {
		return false
	}
	for !list.Empty() {
		var kind uint8
		var value cryptobyte.String
		if !list.ReadUint8(&kind) || !list.ReadUint16LengthPrefixed(&value) || value.Empty() {
			return false
		}
		if kind != 0 {
			continue
		}
		if *name != "" || len(value) > 255 || slices.Contains(value, 0) {
			return false
		}
		*name = string(value)
	}
	return true
}

func readProtocols(data cryptobyte.String, names *[]string) bool {
	var list cryptobyte.String
	if !data.ReadUint16LengthPrefixed(&list) || !data.Empty() || list.Empty() {
		return false
	}
	for !list.Empty() {
		var name cryptobyte.String
		if !list.ReadUint8LengthPrefixed(&name) || name.Empty() {
			return false
		}
		*names = append(*names, string(name))
	}
	return true
}

func readSchemes(s *cryptobyte.String, schemes *[]tls.SignatureScheme) bool {
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) || list.Empty() || len(list)%2 != 0 {
		return false
	}
	*schemes = make([]tls.SignatureScheme, 0, len(list)/2)
	for !list.Empty() {
		var scheme uint16
		list.ReadUint16(&scheme)
		*schemes = append(*schemes, tls.SignatureScheme(scheme))
	}
	return true
}

func addSchemes(b *cryptobyte.Builder, schemes []tls.SignatureScheme) {
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, s := range schemes {
			b.AddUint16(uint16(s))
		}
	})
}

func addBytes8(b *cryptobyte.Builder, v []byte) {
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(v) })
}

func addBytes16(b *cryptobyte.Builder, v []byte) {
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(v) })
}

func readBytes8(s *cryptobyte.String, out *[]byte) bool {
	return s.ReadUint8LengthPrefixed((*cryptobyte.String)(out))
}

func readBytes16(s *cryptobyte.String, out *[]byte) bool {
	return s.ReadUint16LengthPrefixed((*cryptobyte.String)(out))
}

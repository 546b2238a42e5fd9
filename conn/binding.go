package conn

import (
	"crypto"
	"crypto/x509"
	"slices"

	"gdtls/datagram"
)

// Names that RFC 9266 section 2 gives to the exporter of channel bindings.
const (
	bindingExporterLabel  = "EXPORTER-Channel-Binding"
	bindingExporterLength = 32
)

// ChannelBindingData gives the bytes that tie something to this connection
// (g_dtls_connection_get_channel_binding_data, G092, G178, G212); both ends have the
// same. A handshake must have been made.
//
// tls-unique is the first Finished message of the handshake (RFC 5929 section 3): the
// client's, or the server's if a session was resumed. tls-server-end-point is a hash
// of the server's certificate (section 4); it is not available with pre-shared keys,
// and not supported for a certificate whose signature has no hash of its own
// (Ed25519). tls-exporter is keying material (RFC 9266); it is not available without
// the extended master secret, and neither is tls-unique safe then.
//
// The error is a [ChannelBindingError].
func (c *DtlsConnection) ChannelBindingData(kind TlsChannelBindingType) ([]byte, error) {
	if !SupportsChannelBinding(kind) {
		return nil, newChannelBindingError(ChannelBindingNotImplemented, "channel binding type %v is not implemented", kind)
	}
	s := c.session()
	if s == nil {
		return nil, newChannelBindingError(ChannelBindingInvalidState, "handshake is not finished, no channel binding information yet")
	}
	switch kind {
	case ChannelBindingTLSServerEndPoint:
		return c.serverEndPoint(s)
	case ChannelBindingTLSExporter:
		return s.exporterBinding()
	}
	return slices.Clone(s.firstFinished[:]), nil
}

// SupportsChannelBinding tells whether connections can give this kind of channel
// binding data at all (get_channel_binding_data without data, G092, G093).
func SupportsChannelBinding(kind TlsChannelBindingType) bool {
	switch kind {
	case ChannelBindingTLSUnique, ChannelBindingTLSServerEndPoint, ChannelBindingTLSExporter:
		return true
	}
	return false
}

// serverEndPoint is the hash of the server's certificate.
func (c *DtlsConnection) serverEndPoint(s *session) ([]byte, error) {
	var certificate *x509.Certificate
	if c.role.IsServer() {
		if s.own != nil {
			certificate = s.own.Leaf()
		}
	} else if peer := c.PeerCertificate(); peer != nil {
		certificate = peer.X509()
	}
	if certificate == nil {
		return nil, newChannelBindingError(ChannelBindingNotAvailable, "server has shown no certificate: tls-server-end-point is a hash of it")
	}
	hash := endPointHash(certificate.SignatureAlgorithm)
	if hash == 0 {
		return nil, newChannelBindingError(ChannelBindingNotSupported, "tls-server-end-point is not defined for a certificate signed with %v", certificate.SignatureAlgorithm)
	}
	h := hash.New()
	h.Write(certificate.Raw)
	return h.Sum(nil), nil
}

// endPointHash is the hash of a certificate's signature, SHA-256 in place of weaker
// ones (RFC 5929 section 4.1), or 0 if it has none of its own.
func endPointHash(algorithm x509.SignatureAlgorithm) crypto.Hash {
	switch algorithm {
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		return crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		return crypto.SHA512
	case x509.PureEd25519, x509.UnknownSignatureAlgorithm:
		return 0
	}
	return crypto.SHA256
}

// exporterBinding is the binding of RFC 9266, with a context that is empty, not none:
// section 2 says so, and the real Gio does so.
func (s *session) exporterBinding() ([]byte, error) {
	if !s.extendedMaster {
		return nil, newChannelBindingError(ChannelBindingNotAvailable, "tls-exporter needs the extended master secret, which the peer does not support (RFC 9266 section 3)")
	}
	data, err := s.export(bindingExporterLabel, []byte{}, bindingExporterLength)
	if err != nil {
		return nil, newChannelBindingError(ChannelBindingGeneralError, "cannot export keying material: %v", err)
	}
	return data, nil
}

// ExportKeyingMaterial derives length bytes, at most 65536, that only the two ends
// of the connection know, for use by another protocol (RFC 5705, as in crypto/tls). A
// nil context is none, which is not the same as an empty one. Gio has no such function.
//
// Before the handshake the error is the IOError NOT_INITIALIZED; without the extended
// master secret, where the result may not be secret (RFC 7627), it is NOT_SUPPORTED;
// for a label that TLS keeps for itself, or a wrong length, INVALID_ARGUMENT.
func (c *DtlsConnection) ExportKeyingMaterial(label string, context []byte, length int) ([]byte, error) {
	s := c.session()
	switch {
	case s == nil:
		return nil, datagram.NewError(datagram.CodeNotInitialized, "handshake is not finished: no keying material can be exported yet")
	case !s.extendedMaster:
		return nil, datagram.NewError(datagram.CodeNotSupported, "keying material cannot be exported without the extended master secret, which the peer does not support")
	}
	data, err := s.export(label, context, length)
	if err != nil {
		return nil, datagram.NewError(datagram.CodeInvalidArgument, "%w", err)
	}
	return data, nil
}

func (s *session) export(label string, context []byte, length int) ([]byte, error) {
	return s.suite.Export(s.masterSecret[:], &s.clientRandom, &s.serverRandom, label, context, length)
}

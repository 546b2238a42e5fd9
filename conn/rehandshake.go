package conn

// RehandshakeMode always gives RehandshakeSafely (rehandshake-mode, G054, G071).
//
// Deprecated: it has no effect in Gio since 2.60, nor here: renegotiation is refused.
func (c *DtlsConnection) RehandshakeMode() TlsRehandshakeMode { return RehandshakeSafely }

// SetRehandshakeMode does nothing (G071).
//
// Deprecated: it has no effect in Gio since 2.60, nor here: renegotiation is refused.
func (c *DtlsConnection) SetRehandshakeMode(TlsRehandshakeMode) {}

package conn

import (
	"errors"
	"strings"
	"testing"
)

// A program that imports neither clients nor servers has none (G097, G105).
func TestBackendWithoutConnections(t *testing.T) {
	backend := &TlsBackend{name: "empty"}
	if backend.SupportsDTLS() {
		t.Error("DTLS is supported")
	}
	_, err1 := backend.NewDtlsClientConnection(nil, nil)
	_, err2 := backend.NewDtlsServerConnection(nil, nil)
	for _, err := range []error{err1, err2} {
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "import gdtls/") {
			t.Errorf("error is %v", err)
		}
	}
}

package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/elliptic"
)

// options are the arguments, and what they mean to pion.
type options struct {
	server bool
	port   int
	auth   string
	psk    bool
	hint   string
	name   string // of the server, for clients to ask for
	common []dtls.Option
	pool   *x509.CertPool // nil: the other side is not verified

	certificate tls.Certificate
	identity    string

	mu       sync.Mutex
	asked    string // the name that the last client asked for
	sessions map[string]dtls.Session
}

func newPeer(arguments []string) (*peer, error) {
	o := &options{sessions: map[string]dtls.Session{}}
	values := map[string]string{}
	for _, argument := range arguments {
		name, value, _ := strings.Cut(argument, "=")
		values[name] = value
	}
	o.server, o.auth, o.hint, o.name, o.identity = values["role"] == "server", values["auth"], values["hint"], values["name"], values["identity"]
	if _, ok := values["byaddress"]; ok {
		o.name = "127.0.0.1"
	}
	add := func(option dtls.Option) { o.common = append(o.common, option) }
	add(dtls.WithSessionStore(o))
	if values["psk"] != "" && values["suite"] == "" {
		values["suite"] = "00a8" // the default ones need a certificate
	}
	for name, value := range values {
		var err error
		switch name {
		case "role", "auth", "hint", "name", "identity", "byaddress", "key": // not by themselves
		case "port":
			o.port, err = strconv.Atoi(value)
		case "cert":
			if o.certificate, err = tls.LoadX509KeyPair(value, values["key"]); err == nil {
				add(dtls.WithCertificates(o.certificate))
			}
		case "ca":
			var file []byte
			if file, err = os.ReadFile(value); err == nil {
				o.pool = x509.NewCertPool()
				o.pool.AppendCertsFromPEM(file)
				add(dtls.WithRootCAs(o.pool))
			}
		case "suite":
			var id uint64
			id, err = strconv.ParseUint(value, 16, 16)
			add(dtls.WithCipherSuites(dtls.CipherSuiteID(id)))
		case "group":
			add(dtls.WithEllipticCurves(map[string]elliptic.Curve{"x25519": elliptic.X25519, "secp256r1": elliptic.P256, "secp384r1": elliptic.P384}[value]))
		case "signature":
			add(dtls.WithSignatureSchemes(signatureSchemes[value], tls.ECDSAWithP256AndSHA256))
		case "alpn":
			add(dtls.WithSupportedProtocols(strings.Split(value, ",")...))
		case "psk":
			o.psk = true
			var key []byte
			key, err = hex.DecodeString(value)
			add(dtls.WithPSK(o.keyFinder(key)))
		case "mtu":
			var mtu int
			mtu, err = strconv.Atoi(value)
			add(dtls.WithMTU(mtu))
		case "noems":
			add(dtls.WithExtendedMasterSecret(dtls.DisableExtendedMasterSecret))
		default:
			err = errors.New("unknown")
		}
		if err != nil {
			return nil, fmt.Errorf("argument %s=%s: %w", name, value, err)
		}
	}
	return &peer{options: o, input: make(chan string)}, nil
}

var signatureSchemes = map[string]tls.SignatureScheme{
	"rsa_pss_rsae_sha256": tls.PSSWithSHA256, "rsa_pss_rsae_sha384": tls.PSSWithSHA384, "rsa_pss_rsae_sha512": tls.PSSWithSHA512,
	"rsa_pkcs1_sha256": tls.PKCS1WithSHA256, "rsa_pkcs1_sha384": tls.PKCS1WithSHA384, "rsa_pkcs1_sha512": tls.PKCS1WithSHA512,
}

// keyFinder gives a client its key, and a server that of the one client it knows.
func (o *options) keyFinder(key []byte) dtls.PSKCallback {
	return func(identity []byte) ([]byte, error) {
		if o.server && string(identity) != o.identity {
			return nil, errors.New("unknown identity")
		}
		return key, nil
	}
}

func (o *options) serverOptions() (out []dtls.ServerOption) {
	for _, option := range o.common {
		out = append(out, option)
	}
	switch o.auth {
	case "requested":
		out = append(out, dtls.WithClientAuth(dtls.VerifyClientCertIfGiven), dtls.WithClientCAs(o.pool))
	case "required":
		out = append(out, dtls.WithClientAuth(dtls.RequireAndVerifyClientCert), dtls.WithClientCAs(o.pool))
	}
	if o.psk && o.hint != "" {
		out = append(out, dtls.WithPSKIdentityHint([]byte(o.hint)))
	}
	if o.certificate.PrivateKey != nil {
		out = append(out, dtls.WithGetCertificate(func(hello *dtls.ClientHelloInfo) (*tls.Certificate, error) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.asked = hello.ServerName
			return &o.certificate, nil
		}))
	}
	return out
}

func (o *options) clientOptions() (out []dtls.ClientOption) {
	for _, option := range o.common {
		out = append(out, option)
	}
	if o.psk {
		out = append(out, dtls.WithPSKIdentityHint([]byte(o.identity)))
	}
	if o.name != "" {
		out = append(out, dtls.WithServerName(o.name))
	}
	return append(out, dtls.WithInsecureSkipVerify(o.pool == nil))
}

// report prints what was agreed upon.
func (o *options) report(state *dtls.State) {
	fmt.Println("alpn=" + state.NegotiatedProtocol)
	if len(state.PeerCertificates) > 0 {
		if leaf, err := x509.ParseCertificate(state.PeerCertificates[0]); err == nil {
			fmt.Println("subject=" + leaf.Subject.CommonName)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.server && o.certificate.PrivateKey != nil {
		fmt.Println("name=" + o.asked)
	}
}

// Set, Get and Del keep sessions for resumption.
func (o *options) Set(key []byte, session dtls.Session) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sessions[string(key)] = session
	return nil
}

func (o *options) Get(key []byte) (dtls.Session, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sessions[string(key)], nil
}

func (o *options) Del(key []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.sessions, string(key))
	return nil
}

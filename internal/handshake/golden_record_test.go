package handshake

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gdtls/internal/record"
)

// TestRecordGolden records the transcripts of TestGolden, with the programs of OpenSSL
// and GnuTLS.
func TestRecordGolden(t *testing.T) {
	if !*update {
		t.Skip("records only with -update")
	}
	const (
		ecdsaSuite = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
		rsaSuite   = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
		pskSuite   = "TLS_PSK_WITH_AES_128_GCM_SHA256"
		ecdhePSK   = "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256"
	)
	for _, role := range []string{"client", "server"} {
		for _, peer := range []string{"openssl", "gnutls"} {
			for _, g := range []golden{
				{Suite: ecdsaSuite, Key: "ECDSA"}, {Suite: rsaSuite, Key: "RSA"}, {Suite: pskSuite}, {Suite: ecdhePSK},
				{Suite: ecdsaSuite, Key: "ECDSA", ID: true},
			} {
				if peer == "gnutls" && role == "server" && g.Suite == ecdhePSK {
					continue // gnutls-cli dies when it describes the session
				}
				g.Peer, g.Role = peer, role
				name := strings.Join([]string{peer, role, strings.TrimPrefix(g.Suite, "TLS_")}, "-")
				if g.ID {
					name += "-id"
				}
				t.Run(name, func(t *testing.T) { recordGolden(t, &g, name) })
			}
		}
	}
}

func recordGolden(t *testing.T, g *golden, name string) {
	var certificate, key string
	if g.Key != "" {
		chain, private := goldenCredential(t, g.Key)
		g.Chain = hexes{chain}
		if g.Role == "server" {
			g.PrivateKey = private
		}
		certificate, key = pemFile(t, "CERTIFICATE", chain), pemFile(t, "PRIVATE KEY", private)
	}
	socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	session := filepath.Join(t.TempDir(), "session.pem")
	handshakes := 2
	var to net.Addr
	side := newGoldenSide(t, g)
	if g.Role == "client" {
		to = goldenServer(t, g, certificate, key)
	}
	var stop func()
	for i := range handshakes {
		if g.Role == "server" && (i == 0 || g.Peer == "openssl") {
			stop = goldenClient(t, g, socket.LocalAddr().(*net.UDPAddr).Port, session, i > 0)
		}
		if g.Role == "client" {
			// The next handshake needs an address of its own.
			socket.Close()
			if socket, err = net.ListenPacket("udp4", "127.0.0.1:0"); err != nil {
				t.Fatal(err)
			}
		}
		g.Handshakes = append(g.Handshakes, recordHandshake(t, side, socket, to, i > 0))
		side.finish(t, i > 0)
		if g.Role == "client" {
			goodbye(t, side, socket, to)
		} else {
			time.Sleep(300 * time.Millisecond) // the peer writes its session down
			if g.Peer == "openssl" || i > 0 {
				stop()
			}
		}
	}
	text, err := json.MarshalIndent(g, "", "\t")
	if err == nil {
		err = os.MkdirAll("testdata/golden", 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join("testdata", "golden", name+".json"), append(text, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// goodbye closes a connection, so that the server takes the next.
func goodbye(t *testing.T, side *goldenSide, socket net.PacketConn, to net.Addr) {
	t.Helper()
	d, err := side.m.Session().Sealer.SealBytes(nil, record.TypeAlert, []byte{1, 0})
	if err == nil {
		_, err = socket.WriteTo(d, to)
	}
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
}

// recordHandshake runs our side over a socket until it is done.
func recordHandshake(t *testing.T, side *goldenSide, socket net.PacketConn, to net.Addr, resumed bool) goldenHandshake {
	t.Helper()
	h := goldenHandshake{Resumed: resumed}
	side.begin(t)
	buf := make([]byte, 1<<14)
	for {
		for d := side.next(); d != nil; d = side.next() {
			h.Datagrams = append(h.Datagrams, goldenDatagram{true, d})
			if _, err := socket.WriteTo(d, to); err != nil {
				t.Fatal(err)
			}
		}
		if side.m != nil && side.m.Err() != nil {
			t.Fatal(side.m.Err())
		}
		if side.m != nil && side.m.Done() {
			return h
		}
		_ = socket.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, from, err := socket.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		if side.m == nil && buf[0] == 21 {
			continue // the goodbye of the connection before
		}
		to = from
		h.Datagrams = append(h.Datagrams, goldenDatagram{false, bytes.Clone(buf[:n])})
		side.receive(buf[:n])
	}
}

func opensslGolden(g *golden) []string {
	suite := map[string]string{
		"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
		"TLS_PSK_WITH_AES_128_GCM_SHA256": "PSK-AES128-GCM-SHA256", "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-PSK-CHACHA20-POLY1305",
	}[g.Suite]
	args := []string{"-dtls1_2", "-cipher", suite}
	if g.Key == "" {
		args = append(args, "-psk", hex.EncodeToString(goldenKey), "-psk_identity", goldenIdentity)
	}
	if g.ID {
		args = append(args, "-no_ticket")
	}
	return args
}

func gnutlsGolden(g *golden) string {
	exchange, cipher, _ := strings.Cut(strings.TrimPrefix(g.Suite, "TLS_"), "_WITH_")
	cipher = strings.TrimSuffix(strings.TrimSuffix(cipher, "_SHA256"), "_SHA384")
	priority := "NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+" + strings.ReplaceAll(exchange, "_", "-") + ":-CIPHER-ALL:+" + strings.ReplaceAll(cipher, "_", "-")
	if g.ID {
		priority += ":%NO_TICKETS"
	}
	return priority
}

// goldenServer starts a server and gives its address.
func goldenServer(t *testing.T, g *golden, certificate, key string) net.Addr {
	t.Helper()
	probe, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := probe.LocalAddr().(*net.UDPAddr)
	probe.Close()
	var args []string
	if g.Peer == "openssl" {
		args = append([]string{"openssl", "s_server", "-accept", address.String()}, opensslGolden(g)...)
		if g.Key != "" {
			args = append(args, "-cert", certificate, "-key", key)
		} else {
			args = append(args, "-nocert")
		}
	} else {
		args = []string{"gnutls-serv", "--udp", "--echo", "--disable-client-cert", "--priority=" + gnutlsGolden(g), fmt.Sprintf("--port=%d", address.Port)}
		if g.Key != "" {
			args = append(args, "--x509certfile="+certificate, "--x509keyfile="+key)
		} else {
			file := filepath.Join(t.TempDir(), "psk")
			if err := os.WriteFile(file, fmt.Appendf(nil, "%s:%x\n", goldenIdentity, goldenKey), 0o600); err != nil {
				t.Fatal(err)
			}
			args = append(args, "--pskpasswd="+file)
		}
	}
	run(t, args)
	time.Sleep(500 * time.Millisecond) // it listens by then
	return address
}

// goldenClient starts a client, which resumes the session in a file, or by itself in
// the case of GnuTLS.
func goldenClient(t *testing.T, g *golden, port int, session string, again bool) (stop func()) {
	t.Helper()
	var args []string
	if g.Peer == "openssl" {
		args = append([]string{"openssl", "s_client", "-connect", fmt.Sprintf("127.0.0.1:%d", port), "-servername", "server.example"}, opensslGolden(g)...)
		if again {
			args = append(args, "-sess_in", session)
		} else {
			args = append(args, "-sess_out", session)
		}
	} else {
		args = []string{"gnutls-cli", "--udp", "--resume", "--no-ca-verification", "--disable-sni", "--priority=" + gnutlsGolden(g), fmt.Sprintf("--port=%d", port), "127.0.0.1"}
		if g.Key == "" {
			args = append(args, "--pskusername="+goldenIdentity, fmt.Sprintf("--pskkey=%x", goldenKey))
		}
	}
	return run(t, args)
}

// run starts a program whose standard input stays open.
func run(t *testing.T, args []string) (stop func()) {
	t.Helper()
	if _, err := exec.LookPath(args[0]); err != nil {
		t.Skipf("needs %s", args[0])
	}
	cmd := exec.Command(args[0], args[1:]...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if testing.Verbose() {
		cmd.Stdout, cmd.Stderr = io.Discard, os.Stderr
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			in.Close()
			time.Sleep(100 * time.Millisecond)
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(stop)
	return stop
}

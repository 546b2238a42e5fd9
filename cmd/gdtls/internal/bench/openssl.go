package bench

import (
	"bufio"
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"gdtls/cmd/gdtls/internal/pki"
)

//go:embed openssl/peer.c
var openSSLSource []byte

// buildOpenSSL builds the OpenSSL program, once. Its error says what is missing.
func (b *Bench) buildOpenSSL() error {
	if b.program != "" {
		return nil
	}
	if runtime.GOOS == "windows" {
		return errors.New("its program is for Unix")
	}
	compiler, err := findCompiler()
	if err != nil {
		return err
	}
	if b.files == "" {
		if b.files, err = os.MkdirTemp("", "gdtls-bench-"); err != nil {
			return err
		}
		for pair, name := range map[*pki.Pair]string{b.authority: "ca", b.leaf: "server"} {
			if err := pair.Write(pki.FilesIn(b.files, name)); err != nil {
				return err
			}
		}
	}
	source, program := filepath.Join(b.files, "peer.c"), filepath.Join(b.files, "peer")
	if err := os.WriteFile(source, openSSLSource, 0o600); err != nil {
		return err
	}
	if said, err := exec.Command(compiler, "-O2", "-o", program, source, "-lssl", "-lcrypto", "-lpthread").CombinedOutput(); err != nil {
		return fmt.Errorf("%s cannot build its program, perhaps for lack of OpenSSL's headers (libssl-dev): %w: %s", compiler, err, firstLine(said))
	}
	b.program = program
	return nil
}

func findCompiler() (string, error) {
	for _, name := range []string{os.Getenv("CC"), "gcc", "cc"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path, nil
		}
	}
	return "", errors.New("its program needs a C compiler (gcc), which is not here")
}

func firstLine(text []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return line
}

// process is the OpenSSL program at work.
type process struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
	stderr  bytes.Buffer
}

// startOpenSSL starts the program that buildOpenSSL has built.
func (b *Bench) startOpenSSL(mode string, arguments ...string) (*process, error) {
	own := pki.FilesIn(b.files, "server")
	p := &process{command: exec.Command(b.program, append([]string{mode, pki.FilesIn(b.files, "ca").Certificate, own.Certificate, own.Key}, arguments...)...)}
	p.command.Stderr = &p.stderr
	out, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewScanner(out)
	if p.in, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	return p, p.command.Start()
}

// measure has the program measure for a while, and gives the four numbers that it
// writes.
func (p *process) measure(d time.Duration) (numbers [4]int64, err error) {
	if _, err := fmt.Fprintln(p.in, max(d.Milliseconds(), 1)); err != nil {
		return numbers, p.explain(err)
	}
	if !p.out.Scan() {
		return numbers, p.explain(errors.New("it ended"))
	}
	fields := strings.Fields(p.out.Text())
	if len(fields) != len(numbers) {
		return numbers, fmt.Errorf("it wrote %q", p.out.Text())
	}
	for i, field := range fields {
		if numbers[i], err = strconv.ParseInt(field, 10, 64); err != nil {
			return numbers, fmt.Errorf("it wrote %q", p.out.Text())
		}
	}
	return numbers, nil
}

// explain adds what the program says of the reason. It has ended then.
func (p *process) explain(err error) error {
	_ = p.command.Wait()
	return fmt.Errorf("%w: %s", err, firstLine(p.stderr.Bytes()))
}

// close ends the program.
func (p *process) close() error {
	if p.command.ProcessState != nil {
		return nil // it has, and its error is known
	}
	p.in.Close()
	return p.command.Wait()
}

// openSSLFlow is the program as a mover.
type openSSLFlow struct{ *process }

func (b *Bench) openSSLMover(s Setting) (mover, error) {
	way := "one"
	if s.Echo {
		way = "echo"
	}
	p, err := b.startOpenSSL("throughput", strconv.Itoa(s.Size), strconv.Itoa(s.Batch), way)
	return openSSLFlow{p}, err
}

func (f openSSLFlow) round(d time.Duration, _ bool) (tally, error) {
	numbers, err := f.measure(d)
	return tally{sent: numbers[0], arrived: numbers[1], lost: max(0, numbers[0]-numbers[1]), took: time.Duration(numbers[2]), allocs: uint64(numbers[3])}, err
}

func (b *Bench) openSSLHandshaker(resumed bool) (handshaker, error) {
	kind := "full"
	if resumed {
		kind = "resumed"
	}
	p, err := b.startOpenSSL("handshake", kind)
	return openSSLHandshakes{p}, err
}

// openSSLHandshakes is the program as a handshaker.
type openSSLHandshakes struct{ *process }

func (h openSSLHandshakes) round(d time.Duration) (handshakes, error) {
	numbers, err := h.measure(d)
	return handshakes{count: numbers[0], took: time.Duration(numbers[1]), allocs: uint64(numbers[2]), bytes: uint64(numbers[3])}, err
}

package jwtproto

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"gdtls/datagram"
)

// The names of the original's log files.
const (
	LogRequests      = "dec7557-log-connection_and_request.txt"
	LogPayloads      = "dec7557-log-group_and_payload.txt"
	LogResponses     = "dec7557-log-group_and_responses.txt"
	LogRegistrations = "dec7557-log-group-registration-members.txt"
	LogSuccess       = "dec7557-log-sucess.txt" // written so by the original
)

const (
	// DefaultLogSize is how long a log file gets before it is rotated, in bytes, and
	// logGenerations how many older ones are kept beside it, as NAME.1 and so on.
	DefaultLogSize = 16 << 20
	logGenerations = 3

	flushInterval = 200 * time.Millisecond
)

// Logs writes the log files of the original with its line formats. What comes from
// outside is written in one line, with what is not printable as \x or \u and
// hexadecimal digits, so that nobody can forge lines. Lines reach the files a moment
// later. Safe for concurrent use. All methods do nothing on nil.
type Logs struct {
	requests, payloads, responses, registrations, successes *logFile
	stop                                                    chan struct{}
	stopped                                                 chan struct{}
}

// OpenLogs opens the files in a folder, and goes on with those that are there. A file
// of more than size bytes is rotated; 0 means DefaultLogSize. report is told of the first
// error of each file; it may be nil.
func OpenLogs(dir string, size int64, report func(error)) (*Logs, error) {
	if size <= 0 {
		size = DefaultLogSize
	}
	l := &Logs{stop: make(chan struct{}), stopped: make(chan struct{})}
	for _, file := range []struct {
		at   **logFile
		name string
	}{
		{&l.requests, LogRequests}, {&l.payloads, LogPayloads}, {&l.responses, LogResponses},
		{&l.registrations, LogRegistrations}, {&l.successes, LogSuccess},
	} {
		opened := &logFile{path: filepath.Join(dir, file.name), most: size, report: report}
		if err := opened.open(); err != nil {
			return nil, errors.Join(fmt.Errorf("jwtproto: cannot open the log file: %w", err), l.closeFiles())
		}
		*file.at = opened
	}
	go l.flush()
	return l, nil
}

// Close writes what is left and closes the files.
func (l *Logs) Close() error {
	if l == nil {
		return nil
	}
	close(l.stop)
	<-l.stopped
	return l.closeFiles()
}

func (l *Logs) files() []*logFile {
	return []*logFile{l.requests, l.payloads, l.responses, l.registrations, l.successes}
}

func (l *Logs) closeFiles() (err error) {
	for _, file := range l.files() {
		if file != nil {
			err = errors.Join(err, file.close())
		}
	}
	return err
}

// flush writes what has gathered, now and then.
func (l *Logs) flush() {
	defer close(l.stopped)
	ticker := time.NewTicker(flushInterval)
	defer ticker.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-ticker.C:
			for _, file := range l.files() {
				file.flush()
			}
		}
	}
}

// request logs what came, whatever it is.
func (l *Logs) request(now time.Time, from datagram.Address, token []byte) {
	if l == nil {
		return
	}
	ap := from.AddrPort()
	l.requests.line(now, func(b []byte) []byte {
		b = append(ap.Addr().AppendTo(b), ':')
		b = append(strconv.AppendUint(b, uint64(ap.Port()), 10), ':')
		return appendClean(b, token)
	})
}

// accepted logs the claims of a request that is acknowledged, and who signed it.
func (l *Logs) accepted(now time.Time, group string, payload []byte, registration int64) {
	if l == nil {
		return
	}
	l.payloads.line(now, func(b []byte) []byte {
		b = append(append(b, group...), ':')
		return append(appendClean(b, payload), ":Signature OK"...)
	})
	l.registrations.line(now, func(b []byte) []byte {
		return strconv.AppendInt(append(append(b, group...), ':'), registration, 10)
	})
}

// refused logs why a request is not acknowledged.
func (l *Logs) refused(now time.Time, group string, why Refusal) {
	if l == nil {
		return
	}
	l.payloads.line(now, func(b []byte) []byte {
		return append(append(append(b, group...), ":NOTOK:ERROR:"...), why...)
	})
}

// response logs a reply.
func (l *Logs) response(now time.Time, group string, token []byte) {
	if l == nil {
		return
	}
	l.responses.line(now, func(b []byte) []byte { return append(append(append(b, group...), ':'), token...) })
}

// success logs that a group reached the final state.
func (l *Logs) success(now time.Time, group string) {
	if l == nil {
		return
	}
	l.successes.line(now, func(b []byte) []byte { return append(b, group...) })
}

// appendClean appends text from outside.
func appendClean(b, text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && n == 1:
			b = fmt.Appendf(b, `\x%02x`, text[0])
		case r == ' ' || unicode.IsPrint(r):
			b = append(b, text[:n]...)
		default:
			quoted := strconv.QuoteRune(r)
			b = append(b, quoted[1:len(quoted)-1]...)
		}
		text = text[n:]
	}
	return b
}

// logFile is one file that grows up to a size and is rotated then.
type logFile struct {
	path   string
	most   int64
	report func(error)

	mu       sync.Mutex
	file     *os.File
	buffer   *bufio.Writer
	size     int64
	scratch  []byte
	reported bool
}

func (f *logFile) open() error {
	file, err := os.OpenFile(f.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return err
	}
	f.file, f.buffer, f.size = file, bufio.NewWriterSize(file, 64<<10), info.Size()
	return nil
}

// line writes the time, a colon, and what content appends.
func (f *logFile) line(now time.Time, content func([]byte) []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := append(now.UTC().AppendFormat(f.scratch[:0], timestampLayout), ':')
	b = append(content(b), '\n')
	f.scratch = b
	if f.size > 0 && f.size+int64(len(b)) > f.most {
		f.fail(f.rotate())
	}
	if f.file == nil {
		return // it could not be opened again
	}
	n, err := f.buffer.Write(b)
	f.size += int64(n)
	f.fail(err)
}

// rotate begins a new file. The caller holds mu.
func (f *logFile) rotate() error {
	err := f.finish()
	for i := logGenerations; i > 0; i-- {
		older, newer := fmt.Sprintf("%s.%d", f.path, i), fmt.Sprintf("%s.%d", f.path, i-1)
		if i == 1 {
			newer = f.path
		}
		if renaming := os.Rename(newer, older); renaming != nil && !errors.Is(renaming, fs.ErrNotExist) {
			err = errors.Join(err, renaming)
		}
	}
	return errors.Join(err, f.open())
}

// fail tells of the first error. The caller holds mu.
func (f *logFile) fail(err error) {
	if err != nil && !f.reported {
		f.reported = true
		if f.report != nil {
			f.report(fmt.Errorf("jwtproto: %s is incomplete: %w", f.path, err))
		}
	}
}

func (f *logFile) flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file != nil {
		f.fail(f.buffer.Flush())
	}
}

// finish writes the rest and closes the file. The caller holds mu.
func (f *logFile) finish() error {
	if f.file == nil {
		return nil
	}
	err := errors.Join(f.buffer.Flush(), f.file.Close())
	f.file = nil
	return err
}

func (f *logFile) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.finish()
}

package wsserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"
)

// maxLoginBody is how many bytes the body of a request to Login may have: a name and a
// password, each character of which may be written as \u0000.
const maxLoginBody = 4 << 10

// Reasons why a request is refused before it is looked at.
var (
	errMethod      = errors.New("method is not POST")
	errContentType = errors.New("Content-Type is not application/json")
	errBody        = errors.New("body is not the JSON that is expected")
)

// read checks a request and reads its body, or refuses it.
func (l *Login) read(w http.ResponseWriter, r *http.Request, body any) bool {
	status, err := l.readBody(w, r, body)
	if err != nil {
		l.refuseWith(w, r, "", status, err)
		return false
	}
	return true
}

func (l *Login) readBody(w http.ResponseWriter, r *http.Request, body any) (status int, err error) {
	if !l.rate.allow(l.config.ClientAddress(r), time.Now()) {
		return http.StatusTooManyRequests, errManyLogins
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return http.StatusMethodNotAllowed, errMethod
	}
	if provenanceOf(r, l.bearer.config.Origins) == otherPage {
		return http.StatusForbidden, errOtherPage
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return http.StatusUnsupportedMediaType, errContentType
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLoginBody))
	if tooLong := new(http.MaxBytesError); errors.As(err, &tooLong) {
		return http.StatusRequestEntityTooLarge, err
	} else if err != nil {
		return http.StatusBadRequest, err
	}
	if err := decodeBody(text, body); err != nil {
		return http.StatusBadRequest, fmt.Errorf("%w: %w", errBody, err)
	}
	return 0, nil
}

// decodeBody reads one JSON object that has no members but those of body.
func decodeBody(text []byte, body any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(body); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the object")
	}
	return nil
}

// refuse answers who may not come in. The client is told no reason.
func (l *Login) refuse(w http.ResponseWriter, r *http.Request, name string, reason error) {
	l.refuseWith(w, r, name, statusOf(reason), reason)
}

func (l *Login) refuseWith(w http.ResponseWriter, r *http.Request, name string, status int, reason error) {
	if name != "" {
		reason = fmt.Errorf("%q: %w", clip(name), reason)
	}
	l.log.tell(Refusal{Address: l.config.ClientAddress(r), Origin: r.Header.Get("Origin"), Status: status, Reason: reason}, time.Now())
	writeRefusal(w, status, challengeFor(""))
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Cache-Control"] = valueNoStore
	h["Content-Type"] = []string{"application/json"}
	h["X-Content-Type-Options"] = valueNosniff
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // if it fails, the client is gone
}

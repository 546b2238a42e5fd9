package conn

import (
	"bytes"
	"slices"
	"sync"
)

// Names of the properties of a [TlsPassword], for ConnectNotify.
const (
	PropertyFlags       = "flags"
	PropertyDescription = "description"
	PropertyWarning     = "warning"
)

// TlsPassword carries a password from who knows it to who needs it (GTlsPassword,
// G161-G168). Its methods may be called from any goroutine.
type TlsPassword struct {
	mu          sync.Mutex
	flags       TlsPasswordFlags
	description string
	warning     string // empty: the flags say it
	value       []byte
	destroy     func([]byte) // of value; nil: none
	last        SignalHandlerID
	notify      []handler[passwordHandler]
}

type passwordHandler struct {
	property string // empty: any
	call     func(p *TlsPassword, property string)
}

// NewTlsPassword makes a password that is to be asked for (g_tls_password_new, G161):
// the flags say under what circumstances, the description for what.
func NewTlsPassword(flags TlsPasswordFlags, description string) *TlsPassword {
	return &TlsPassword{flags: flags, description: description}
}

// Value gives the password, nil if there is none (g_tls_password_get_value, G162).
// The bytes belong to the object and are valid until the value is set again.
func (p *TlsPassword) Value() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.value
}

// SetValue sets the password to a copy of the bytes (g_tls_password_set_value, G163),
// which is overwritten when it is replaced.
func (p *TlsPassword) SetValue(value []byte) {
	p.SetValueFull(bytes.Clone(value), func(value []byte) { clear(value) })
}

// SetValueFull sets the password to the bytes themselves (g_tls_password_set_value_full,
// G164). destroy, which may be nil, is called with them when they are replaced; that
// is the place to overwrite them. Set nil to have it called: unlike in Gio nobody
// does when the object is dropped.
func (p *TlsPassword) SetValueFull(value []byte, destroy func([]byte)) {
	p.mu.Lock()
	old, destroyOld := p.value, p.destroy
	p.value, p.destroy = value, destroy
	p.mu.Unlock()
	if destroyOld != nil {
		destroyOld(old)
	}
}

// Flags say under what circumstances the password is asked (G165).
func (p *TlsPassword) Flags() TlsPasswordFlags {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.flags
}

// SetFlags sets the flags and notifies (G165).
func (p *TlsPassword) SetFlags(flags TlsPasswordFlags) {
	p.mu.Lock()
	p.flags = flags
	p.mu.Unlock()
	p.emitNotify(PropertyFlags)
}

// Description says for what the password is (G165).
func (p *TlsPassword) Description() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.description
}

// SetDescription sets the description and notifies (G165).
func (p *TlsPassword) SetDescription(description string) {
	p.mu.Lock()
	p.description = description
	p.mu.Unlock()
	p.emitNotify(PropertyDescription)
}

// Warning is what the person should be told: the one that was set, else what the
// flags say, the last try before many and many before a second, or nothing (G166).
func (p *TlsPassword) Warning() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.warning != "":
		return p.warning
	case p.flags&PasswordFinalTry != 0:
		return "This is the last chance to enter the password correctly before access is locked."
	case p.flags&PasswordManyTries != 0:
		return "Several passwords were wrong; access will be locked after further failures."
	case p.flags&PasswordRetry != 0:
		return "The password was wrong."
	}
	return ""
}

// SetWarning sets the warning and notifies (G166); with "" the flags say it again.
func (p *TlsPassword) SetWarning(warning string) {
	p.mu.Lock()
	p.warning = warning
	p.mu.Unlock()
	p.emitNotify(PropertyWarning)
}

// ConnectNotify connects a handler to changes of a property, or of all if the name is
// empty (the signal notify, G165, G167). It runs on the goroutine that made the change.
func (p *TlsPassword) ConnectNotify(property string, call func(p *TlsPassword, property string)) SignalHandlerID {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	p.notify = append(slices.Clip(p.notify), handler[passwordHandler]{p.last, passwordHandler{property, call}})
	return p.last
}

// Disconnect removes a handler.
func (p *TlsPassword) Disconnect(id SignalHandlerID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	disconnect(&p.notify, id)
}

func (p *TlsPassword) emitNotify(property string) {
	p.mu.Lock()
	handlers := p.notify
	p.mu.Unlock()
	for _, h := range handlers {
		if h.call.property == "" || h.call.property == property {
			h.call.call(p, property)
		}
	}
}

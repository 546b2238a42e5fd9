package conn

import (
	"bytes"
	"slices"
	"testing"
)

func TestPassword(t *testing.T) { // G161-G163, G165, G167
	p := NewTlsPassword(PasswordRetry, "the key of x")
	if p.Flags() != PasswordRetry || p.Description() != "the key of x" || p.Value() != nil {
		t.Errorf("new: %v, %q, %q", p.Flags(), p.Description(), p.Value())
	}
	var notified, flags []string
	p.ConnectNotify("", func(_ *TlsPassword, property string) { notified = append(notified, property) })
	id := p.ConnectNotify(PropertyFlags, func(_ *TlsPassword, property string) { flags = append(flags, property) })
	p.SetFlags(PasswordManyTries)
	p.SetDescription("the key of y")
	p.SetWarning("careful")
	p.Disconnect(id)
	p.SetFlags(PasswordNone)
	if p.Flags() != PasswordNone || p.Description() != "the key of y" || p.Warning() != "careful" {
		t.Errorf("afterwards: %v, %q, %q", p.Flags(), p.Description(), p.Warning())
	}
	if want := []string{"flags", "description", "warning", "flags"}; !slices.Equal(notified, want) || len(flags) != 1 {
		t.Errorf("notified %v and %v", notified, flags)
	}
	given := []byte("secret\x00with zero")
	p.SetValue(given)
	given[0] = 'x'
	value := p.Value()
	if string(value) != "secret\x00with zero" {
		t.Errorf("value is %q", value)
	}
	p.SetValue(nil)
	if p.Value() != nil || !bytes.Equal(value, make([]byte, len(value))) {
		t.Errorf("the old value is still there: %q", value)
	}
}

func TestPasswordValueFull(t *testing.T) { // G164
	p := NewTlsPassword(0, "")
	var destroyed []string
	destroy := func(value []byte) { destroyed = append(destroyed, string(value)) }
	first := []byte("first")
	p.SetValueFull(first, destroy)
	if &p.Value()[0] != &first[0] {
		t.Error("the bytes were copied")
	}
	p.SetValueFull([]byte("second"), destroy)
	p.SetValueFull([]byte("third"), nil)
	p.SetValueFull(nil, nil)
	if !slices.Equal(destroyed, []string{"first", "second"}) {
		t.Errorf("destroyed %q", destroyed)
	}
}

func TestPasswordWarning(t *testing.T) { // G166
	all := PasswordRetry | PasswordManyTries | PasswordFinalTry
	warnings := map[string]bool{}
	for _, flags := range []TlsPasswordFlags{PasswordRetry, PasswordManyTries, PasswordFinalTry} {
		warning := NewTlsPassword(flags, "").Warning()
		warnings[warning] = true
		if warning == "" {
			t.Errorf("%v: no warning", flags)
		}
	}
	for flags, same := range map[TlsPasswordFlags]TlsPasswordFlags{
		all: PasswordFinalTry, PasswordRetry | PasswordManyTries: PasswordManyTries, PasswordRetry | PasswordPKCS11User: PasswordRetry,
	} {
		if got, want := NewTlsPassword(flags, "").Warning(), NewTlsPassword(same, "").Warning(); got != want {
			t.Errorf("%v: %q, want %q", flags, got, want)
		}
	}
	if len(warnings) != 3 {
		t.Error("two flags have the same warning")
	}
	p := NewTlsPassword(PasswordPKCS11User, "")
	if p.Warning() != "" {
		t.Errorf("no try yet: %q", p.Warning())
	}
	p.SetWarning("careful")
	p.SetWarning("")
	p.SetFlags(all)
	if p.Warning() != NewTlsPassword(PasswordFinalTry, "").Warning() {
		t.Errorf("warning taken back: %q", p.Warning())
	}
}

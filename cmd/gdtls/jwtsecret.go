package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"gdtls/jwtproto"
)

// jwtSecretCommand is "gdtls jwt secret". No value of a secret is ever printed.
type jwtSecretCommand struct {
	List   secretList   `cmd:"" help:"Show which secrets the store has, by their fingerprints."`
	Rotate secretRotate `cmd:"" help:"Put a new secret in the place of the one that is used."`
	Remove secretRemove `cmd:"" help:"Take secrets out of the store: that of the lab folder counts again."`
	Import secretImport `cmd:"" help:"Put the secrets of a lab folder into the store."`
}

// Help tells what the kinds are.
func (*jwtSecretCommand) Help() string {
	return "Servers with the same store share its secrets, and those come before the ones of their lab folders. KIND is reply (what signs the replies), psk (the pre-shared key of the group NAME), " +
		"cookie and ticket (which DTLS uses; servers make and replace them by themselves) or token (for logging in). Running servers learn of changes at once."
}

// secretFlags say where the secrets are.
type secretFlags struct {
	Store string `placeholder:"STORE" help:"The store, as gdtls jwt serve has it. (default: that of the lab folder)"`
	Dir   string `default:"." placeholder:"DIR" help:"Lab folder. (default: the current folder)"`
}

// use opens the store for as long as f runs.
func (s *secretFlags) use(env *environment, f func(context.Context, jwtproto.SecretStore) error) (err error) {
	address, err := storeOf(s.Store, s.Dir)
	if err != nil {
		return err
	}
	store, err := address.open(env.ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	secrets, ok := store.(jwtproto.SecretStore)
	if !ok {
		return usagef("the store %s has no secrets; --store names one that has", address)
	}
	return f(env.ctx, secrets)
}

// secretName says which secrets are meant.
type secretName struct {
	Kind string `arg:"" enum:"reply,psk,cookie,ticket,token" help:"reply, psk, cookie, ticket or token."`
	Name string `arg:"" optional:"" help:"The group, for psk."`
}

// secretList is "gdtls jwt secret list".
type secretList struct{ secretFlags }

// Run lists.
func (l *secretList) Run(env *environment) error {
	return l.use(env, func(ctx context.Context, store jwtproto.SecretStore) error {
		all, err := store.Secrets(ctx)
		if err != nil {
			return err
		}
		out := env.out.viewed(secretView)
		shown := newSecrets(all, time.Now())
		for _, s := range shown {
			out.emit(s)
		}
		out.emit(secretTable{shown})
		return nil
	})
}

// secretRotate is "gdtls jwt secret rotate".
type secretRotate struct {
	secretName
	From string `placeholder:"FILE" help:"Take the new one from a file: as it stands there for reply, in hexadecimal otherwise. (default: a random one)"`
	Out  string `placeholder:"FILE" help:"Write the new one to a file that is not there yet, so that clients can get it."`
	secretFlags
}

// Run puts a new secret.
func (r *secretRotate) Run(env *environment) error {
	secret, text, err := r.secret()
	if err != nil {
		return err
	}
	return r.use(env, func(ctx context.Context, store jwtproto.SecretStore) error {
		if r.Out != "" {
			if err := writeSecret(r.Out, text); err != nil {
				return err
			}
		}
		if err := jwtproto.RotateSecret(ctx, store, secret); err != nil {
			return err
		}
		all, err := store.Secrets(ctx)
		if err != nil {
			return err
		}
		out := env.out.viewed(secretView)
		for _, s := range newSecrets(all, time.Now()) {
			if s.Kind == r.Kind && s.Fingerprint == secret.Fingerprint() {
				out.emit(s)
			}
		}
		out.emit(note{fmt.Sprintf("rotated: %v", secret)})
		return nil
	})
}

// secret reads or makes the new secret, and what stands for it in a file.
func (r *secretRotate) secret() (s jwtproto.Secret, text []byte, err error) {
	kind := jwtproto.SecretKind(r.Kind)
	s = jwtproto.NewSecret(kind, r.Name, time.Now())
	if kind == jwtproto.PSKSecret && r.Name == "" {
		return s, nil, usagef("the key of which group? gdtls jwt secret rotate psk GROUP")
	}
	if r.From == "" {
		text = []byte(hex.EncodeToString(s.Value))
		if kind == jwtproto.ReplySecret {
			s.Value = text // as people can write it into a file
		}
		if r.Out == "" && (kind == jwtproto.ReplySecret || kind == jwtproto.PSKSecret) {
			return s, nil, usagef("clients need the new secret: --out FILE writes it to a file, or --from FILE takes yours")
		}
		return s, text, s.Check()
	}
	if text, err = os.ReadFile(r.From); err != nil {
		return s, nil, fmt.Errorf("cannot read the secret: %w", err)
	}
	if s.Value = text; kind != jwtproto.ReplySecret {
		if s.Value, err = hex.DecodeString(string(bytes.TrimSpace(text))); err != nil {
			return s, nil, fmt.Errorf("%s does not hold a secret in hexadecimal", r.From)
		}
	}
	return s, text, s.Check()
}

// writeSecret writes a file that must not be there yet, for the user alone.
func writeSecret(path string, text []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write the secret: %w", err)
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Close())
}

// secretRemove is "gdtls jwt secret remove".
type secretRemove struct {
	secretName
	secretFlags
}

// Run removes all of a kind and name.
func (r *secretRemove) Run(env *environment) error {
	return r.use(env, func(ctx context.Context, store jwtproto.SecretStore) error {
		removed := 0
		err := store.ChangeSecrets(ctx, jwtproto.SecretKind(r.Kind), r.Name, func(old []jwtproto.Secret) []jwtproto.Secret {
			removed = len(old)
			return nil
		})
		if err != nil {
			return err
		}
		if removed == 0 {
			return errors.New("the store has no such secret")
		}
		env.out.viewed(secretView).emit(note{fmt.Sprintf("removed %d of kind %s", removed, strings.TrimSpace(r.Kind+" "+r.Name))})
		return nil
	})
}

// secretImport is "gdtls jwt secret import".
type secretImport struct{ secretFlags }

// Run puts what stands in the folder into the store, in the place of what is there.
func (i *secretImport) Run(env *environment) error {
	lab, problems, err := jwtproto.OpenLab(i.Dir)
	if err != nil {
		return err
	}
	out := env.out.viewed(secretView)
	tellProblems(out, problems)
	now := time.Now()
	return i.use(env, func(ctx context.Context, store jwtproto.SecretStore) error {
		for rest := lab.FolderSecrets(now); len(rest) > 0; {
			some := ofOneName(rest)
			rest = rest[len(some):]
			if err := store.ChangeSecrets(ctx, some[0].Kind, some[0].Name, func([]jwtproto.Secret) []jwtproto.Secret { return some }); err != nil {
				return err
			}
			for _, s := range newSecrets(some, now) {
				out.emit(s)
			}
			out.emit(note{fmt.Sprintf("imported: %v", some[0])})
		}
		return nil
	})
}

// ofOneName are the first of some secrets that have the kind and the name of the first.
func ofOneName(all []jwtproto.Secret) []jwtproto.Secret {
	n := 1
	for n < len(all) && all[n].Kind == all[0].Kind && all[n].Name == all[0].Name {
		n++
	}
	return all[:n]
}

// jwtSecret: the store has a secret.
type jwtSecret struct {
	Kind        string `json:"kind"`
	SecretName  string `json:"name"`
	Fingerprint string `json:"fingerprint"`
	Since       string `json:"since"`
	// Use is used, coming (it will be used, and is accepted) or accepted (it was used).
	Use string `json:"use"`
}

// secretTable is all of them for people.
type secretTable struct{ secrets []jwtSecret }

func (jwtSecret) name() string   { return "jwt_secret" }
func (secretTable) name() string { return "" }

// newSecrets tells of secrets as a store gives them.
func newSecrets(all []jwtproto.Secret, now time.Time) []jwtSecret {
	var shown []jwtSecret
	for i, s := range all {
		use := "used"
		switch newest := i == 0 || all[i-1].Kind != s.Kind || all[i-1].Name != s.Name; {
		case s.Since.After(now):
			use = "coming"
		case !newest && shown[i-1].Use != "coming":
			use = "accepted"
		}
		shown = append(shown, jwtSecret{string(s.Kind), s.Name, s.Fingerprint(), s.Since.UTC().Format(time.RFC3339), use})
	}
	return shown
}

// secretView shows the table of the secrets.
func secretView(p palette, e event) string {
	t, ok := e.(secretTable)
	switch {
	case !ok:
		return plainView(p, e)
	case len(t.secrets) == 0:
		return "The store has no secrets: those of the lab folders count, and each server makes its own keys of DTLS."
	}
	rows := [][]string{{"", "name", "fingerprint", "since (UTC)", ""}}
	for _, s := range t.secrets {
		rows = append(rows, []string{s.Kind, clean(s.SecretName), s.Fingerprint, s.Since, s.Use})
	}
	return table(p, "Secrets", rows)
}

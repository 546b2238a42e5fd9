package handshake

import "slices"

// chooseALPN follows Gio's rule: the client's first protocol that the server has
// too; nothing in common is no error (observed of the real Gio, where RFC 7301
// 3.2 would send no_application_protocol).
func chooseALPN(client, server []string) string {
	for _, name := range client {
		if slices.Contains(server, name) {
			return name
		}
	}
	return ""
}

// checkALPN refuses names that do not fit the wire (RFC 7301 3.1).
func checkALPN(names []string) error {
	total := 0
	for _, name := range names {
		if name == "" || len(name) > 255 {
			return errInternal(nil, "application protocol name %q has %d bytes: 1 to 255 are possible", name, len(name))
		}
		total += 1 + len(name)
	}
	if total > 1<<12 {
		return errInternal(nil, "application protocol names have %d bytes together: at most %d are sent", total, 1<<12)
	}
	return nil
}

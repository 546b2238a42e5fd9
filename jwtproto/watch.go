package jwtproto

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settleTime is how long the files must have been quiet before they are read again: an
// editor, or a copy of many keys, makes many changes at once.
const settleTime = 200 * time.Millisecond

// Watch reads the folder again whenever something in it changes, until ctx ends. report
// is told of the outcome: the problems, or why everything stays as it was. The error is
// that the folder cannot be watched.
func (l *Lab) Watch(ctx context.Context, report func([]Problem, error)) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("jwtproto: cannot watch %s: %w", l.dir, err)
	}
	if err := l.watchFolders(watcher); err != nil {
		watcher.Close()
		return fmt.Errorf("jwtproto: cannot watch %s: %w", l.dir, err)
	}
	// What changed between the first reading and now must not be missed.
	settled := time.NewTimer(0)
	go func() {
		defer watcher.Close()
		defer settled.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case event := <-watcher.Events:
				if l.concerns(event) {
					settled.Reset(settleTime)
				}
			case <-watcher.Errors: // events were lost: read everything
				settled.Reset(settleTime)
			case <-settled.C:
				// A new folder is watched before it is read.
				if err := l.watchFolders(watcher); err != nil {
					report(nil, err)
				}
				report(l.Reload())
			}
		}
	}()
	return nil
}

// watchFolders watches the lab folder, those of the secret and the keys, and all below
// the latter. To watch a folder twice does nothing.
func (l *Lab) watchFolders(watcher *fsnotify.Watcher) error {
	if err := watcher.Add(l.dir); err != nil {
		return err
	}
	for _, folder := range []string{KeysFolder, SecretFolder} {
		err := filepath.WalkDir(filepath.Join(l.dir, folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return nil // told when it is read
			}
			if entry.IsDir() {
				return watcher.Add(path)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// concerns reports whether an event is about more than the log files, which lie in the
// same folder.
func (l *Lab) concerns(event fsnotify.Event) bool {
	if event.Op == fsnotify.Chmod {
		return false
	}
	relative, err := filepath.Rel(l.dir, event.Name)
	if err != nil {
		return true
	}
	first, _, _ := strings.Cut(filepath.ToSlash(relative), "/")
	return first == GroupsFile || first == KeysFolder || first == SecretFolder
}

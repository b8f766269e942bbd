// Package atomicfile makes files and folders that appear whole or not at all,
// and that are there after a power cut.
//
// Content is written beside its place under a temporary name and brought to the
// disk; then it gets its name in one step, and the disk gets the name too
// (fsync of the folder, which renameio and its like leave out). A writer who is
// killed leaves at most a file that [IsTemporary] knows.
package atomicfile

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// temporary begins the names of what is being written.
const temporary = ".tmp-"

// IsTemporary tells whether a name is that of an unfinished file or folder.
// Readers of a folder pass over it.
func IsTemporary(name string) bool { return strings.HasPrefix(name, temporary) }

// TemporaryName is a new name beside path. A rename from it to path is one step.
func TemporaryName(path string) string {
	return filepath.Join(filepath.Dir(path), temporary+rand.Text())
}

// A File is being written and has no place yet.
type File struct {
	*os.File
	path string // where it belongs
}

// Create opens a new file that is to stand at path, in a folder that exists. Its
// mode is subject to the umask, as that of any new file. Commit or CommitNew puts
// it there; Discard, deferred, takes it away otherwise.
func Create(path string, mode fs.FileMode) (*File, error) {
	f, err := os.OpenFile(TemporaryName(path), os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, err
	}
	return &File{f, path}, nil
}

// Commit closes the file and puts it in its place. What is there is replaced.
func (f *File) Commit() error {
	if err := f.finish(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), f.path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(f.path))
}

// CommitNew closes the file and puts it in its place where nothing is there:
// otherwise the error is [os.ErrExist]. Of several writers the first one wins.
func (f *File) CommitNew() error {
	if err := f.finish(); err != nil {
		return err
	}
	// A link fails where a rename would replace.
	if err := os.Link(f.Name(), f.path); err != nil {
		return err
	}
	return errors.Join(os.Remove(f.Name()), SyncDir(filepath.Dir(f.path)))
}

func (f *File) finish() error { return errors.Join(f.Sync(), f.Close()) }

// Discard closes the file and removes it. After a commit it does nothing.
func (f *File) Discard() {
	_ = f.Close()
	_ = os.Remove(f.Name())
}

// Write puts content at path and replaces what is there.
func Write(path string, content []byte, mode fs.FileMode) error {
	return write(path, content, mode, (*File).Commit)
}

// WriteNew puts content at path; a file that is there is [os.ErrExist].
func WriteNew(path string, content []byte, mode fs.FileMode) error {
	return write(path, content, mode, (*File).CommitNew)
}

func write(path string, content []byte, mode fs.FileMode, commit func(*File) error) error {
	f, err := Create(path, mode)
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := f.Write(content); err != nil {
		return err
	}
	return commit(f)
}

// WriteDir makes a folder at path of the files with the given slash-separated
// names. A folder with files in it that is there already is an error. Who may
// read the files may list their folders.
func WriteDir(path string, files map[string][]byte, mode fs.FileMode) error {
	temp := TemporaryName(path)
	err := writeTree(temp, files, mode)
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err == nil {
		err = SyncDir(filepath.Dir(path))
	}
	if err != nil {
		_ = os.RemoveAll(temp) // gone already where the rename worked
	}
	return err
}

func writeTree(root string, files map[string][]byte, mode fs.FileMode) error {
	dirMode := mode | mode&0o444>>2
	if err := os.Mkdir(root, dirMode); err != nil {
		return err
	}
	dirs := map[string]bool{root: true}
	for name, content := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
			return err
		}
		for dir := filepath.Dir(path); !dirs[dir]; dir = filepath.Dir(dir) {
			dirs[dir] = true
		}
		if err := writeSynced(path, content, mode); err != nil {
			return err
		}
	}
	for dir := range dirs {
		if err := SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// writeSynced writes a new file and waits until the disk has it.
func writeSynced(path string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// SyncDir waits until the disk has the names in a folder. File systems that
// cannot do that do it in their own time.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // only synced
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

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
	in   names
	path string // where it belongs
	temp string // its name until then
}

// names is what a file needs of an [os.Root], or of the whole file system.
type names interface {
	Open(name string) (*os.File, error)
	Rename(from, to string) error
	Link(from, to string) error
	Remove(name string) error
}

// anywhere is the whole file system.
type anywhere struct{}

func (anywhere) Open(name string) (*os.File, error) { return os.Open(name) } //nolint:forbidigo // a folder, to sync it
func (anywhere) Rename(from, to string) error       { return os.Rename(from, to) }
func (anywhere) Link(from, to string) error         { return os.Link(from, to) }
func (anywhere) Remove(name string) error           { return os.Remove(name) }

// Create opens a new file that is to stand at path, in a folder that exists. Its
// mode is subject to the umask, as that of any new file. Commit or CommitNew puts
// it there; Discard, deferred, takes it away otherwise.
func Create(path string, mode fs.FileMode) (*File, error) {
	temp := TemporaryName(path)
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, err
	}
	return &File{f, anywhere{}, path, temp}, nil
}

// CreateIn is Create for a name below root, out of which no link leads. The root has
// to stay open until the file is committed or discarded.
func CreateIn(root *os.Root, name string, mode fs.FileMode) (*File, error) {
	temp := TemporaryName(name)
	f, err := root.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, err
	}
	return &File{f, root, name, temp}, nil
}

// Commit closes the file and puts it in its place. What is there is replaced.
func (f *File) Commit() error {
	if err := f.finish(); err != nil {
		return err
	}
	if err := f.in.Rename(f.temp, f.path); err != nil {
		return err
	}
	return f.syncDir()
}

// CommitNew closes the file and puts it in its place where nothing is there:
// otherwise the error is [os.ErrExist]. Of several writers the first one wins.
func (f *File) CommitNew() error {
	if err := f.finish(); err != nil {
		return err
	}
	// A link fails where a rename would replace.
	if err := f.in.Link(f.temp, f.path); err != nil {
		return err
	}
	return errors.Join(f.in.Remove(f.temp), f.syncDir())
}

func (f *File) finish() error { return errors.Join(f.Sync(), f.Close()) }

// Discard closes the file and removes it. After a commit it does nothing.
func (f *File) Discard() {
	_ = f.Close()
	_ = f.in.Remove(f.temp)
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
func SyncDir(dir string) error { return syncDir(anywhere{}, dir) }

func (f *File) syncDir() error { return syncDir(f.in, filepath.Dir(f.path)) }

func syncDir(in names, dir string) error {
	d, err := in.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // only synced
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

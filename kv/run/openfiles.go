package run

import (
	"container/list"
	"sync"

	"balsa.example/vfs"
)

// openFiles keeps files open for reading: those in use, and of the others the ones used last, up to
// max in all.
type openFiles struct {
	files Files
	max   int
	mu    struct {
		sync.Mutex
		byFile map[uint32]*openFile
		idle   list.List // of *openFile, the one used last in front
		// forgotten counts the calls of forget: what was opened before one may be the old file.
		forgotten int
	}
}

type openFile struct {
	vfs.File
	number uint32
	users  int
	place  *list.Element // in idle; nil while there are users
	gone   bool          // it is not in byFile, and closed after its last use
}

func newOpenFiles(f Files, max int) *openFiles {
	o := &openFiles{files: f, max: max}
	o.mu.byFile = map[uint32]*openFile{}
	return o
}

// get returns a file that stays open until it is given to put.
func (o *openFiles) get(number uint32) (*openFile, error) {
	f, forgotten := o.use(number)
	if f != nil {
		return f, nil
	}
	file, err := o.files.open(number)
	if err != nil {
		return nil, err
	}
	opened := &openFile{File: file, number: number, users: 1}
	o.mu.Lock()
	// Somebody may have been faster.
	if opened.gone = o.mu.byFile[number] != nil || o.mu.forgotten != forgotten; !opened.gone {
		o.mu.byFile[number] = opened
	}
	evicted := o.evict()
	o.mu.Unlock()
	closeAll(evicted)
	return opened, nil
}

// use returns the file if it is open.
func (o *openFiles) use(number uint32) (f *openFile, forgotten int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f = o.mu.byFile[number]; f == nil {
		return nil, o.mu.forgotten
	}
	if f.users++; f.place != nil {
		o.mu.idle.Remove(f.place)
		f.place = nil
	}
	return f, o.mu.forgotten
}

func (o *openFiles) put(f *openFile) {
	o.mu.Lock()
	var unused []*openFile
	if f.users--; f.users == 0 {
		if f.gone {
			unused = append(unused, f)
		} else {
			f.place = o.mu.idle.PushFront(f)
			unused = o.evict()
		}
	}
	o.mu.Unlock()
	closeAll(unused)
}

// evict takes out idle files until there are no more than max.
func (o *openFiles) evict() (evicted []*openFile) {
	for len(o.mu.byFile) > o.max && o.mu.idle.Len() > 0 {
		f := o.mu.idle.Remove(o.mu.idle.Back()).(*openFile)
		delete(o.mu.byFile, f.number)
		evicted = append(evicted, f)
	}
	return evicted
}

// forget lets nobody use a file any more that does not use it yet.
func (o *openFiles) forget(number uint32) {
	o.mu.Lock()
	o.mu.forgotten++
	f := o.mu.byFile[number]
	delete(o.mu.byFile, number)
	idle := f != nil && f.place != nil
	if idle {
		o.mu.idle.Remove(f.place)
	} else if f != nil {
		f.gone = true
	}
	o.mu.Unlock()
	if idle {
		f.Close()
	}
}

// closeAll closes files that were only read, so that no error matters.
func closeAll(files []*openFile) {
	for _, f := range files {
		f.Close()
	}
}

package crashfs

import (
	"io"
	"os"
)

// handle is an open file, or an open folder. A file that is only read is no part of what is known.
type handle struct {
	File   *os.File
	disk   *Disk
	file   *file
	folder *folder
}

func (h *handle) Close() error { return h.File.Close() }

func (h *handle) Read(b []byte) (int, error) { return h.File.Read(b) }

func (h *handle) ReadAt(b []byte, at int64) (int, error) { return h.File.ReadAt(b, at) }

func (h *handle) Seek(offset int64, whence int) (int64, error) { return h.File.Seek(offset, whence) }

// Write writes where the file is at, which is known only afterwards: it may have been opened to append.
func (h *handle) Write(b []byte) (int, error) {
	h.disk.pass()
	n, err := h.File.Write(b)
	if h.file == nil || n <= 0 {
		return n, err
	}
	end, seek := h.File.Seek(0, io.SeekCurrent)
	if seek != nil {
		return n, seek
	}
	h.wrote(b[:n], end-int64(n))
	return n, err
}

// WriteAt writes at an offset.
func (h *handle) WriteAt(b []byte, at int64) (int, error) {
	h.disk.pass()
	n, err := h.File.WriteAt(b, at)
	if h.file != nil && n > 0 {
		h.wrote(b[:n], at)
	}
	return n, err
}

// Truncate cuts the file.
func (h *handle) Truncate(size int64) error {
	h.disk.pass()
	err := h.File.Truncate(size)
	if h.file != nil && err == nil {
		h.note(write{cut: true, at: size})
	}
	return err
}

func (h *handle) wrote(b []byte, at int64) {
	h.note(write{at: at, bytes: append([]byte(nil), b...)})
}

func (h *handle) note(w write) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if !h.disk.dark {
		w.turn = h.disk.turn()
		h.file.note(w)
	}
}

// Sync makes durable what was there when it began, if the power did not fail meanwhile.
func (h *handle) Sync() error {
	h.disk.pass()
	var settle func(mark uint64)
	var mark uint64
	h.disk.mu.Lock()
	switch {
	case h.folder != nil:
		settle, mark = h.folder.settle, h.folder.mark()
	case h.file != nil:
		settle, mark = h.file.settle, h.file.mark()
	}
	h.disk.mu.Unlock()
	if err := h.File.Sync(); err != nil || settle == nil {
		return err
	}
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if !h.disk.dark {
		settle(mark)
	}
	return nil
}

package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
)

// message is one HTTP/1.1 request or response; its memory is used again for the next one.
type message struct {
	first   []byte // The request line or the status line.
	length  int
	chunked bool
	closes  bool
	body    []byte
}

var errMalformed = errors.New("malformed message")

// readHead reads up to the empty line; the body is the caller's.
func (m *message) readHead(reader *bufio.Reader) error {
	line, err := reader.ReadSlice('\n')
	if err != nil {
		return err
	}
	m.first = append(m.first[:0], bytes.TrimRight(line, "\r\n")...)
	m.length, m.chunked, m.closes = 0, false, false
	for {
		line, err = reader.ReadSlice('\n')
		if err != nil {
			return unexpected(err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return nil
		}
		if err := m.field(line); err != nil {
			return err
		}
	}
}

func (m *message) field(line []byte) error {
	colon := bytes.IndexByte(line, ':')
	if colon < 0 {
		return errMalformed
	}
	name, value := line[:colon], bytes.TrimSpace(line[colon+1:])
	switch {
	case bytes.EqualFold(name, []byte("content-length")):
		length, err := strconv.Atoi(string(value))
		if err != nil || length < 0 {
			return errMalformed
		}
		m.length = length
	case bytes.EqualFold(name, []byte("transfer-encoding")):
		m.chunked = bytes.EqualFold(value, []byte("chunked"))
	case bytes.EqualFold(name, []byte("connection")):
		m.closes = bytes.EqualFold(value, []byte("close"))
	}
	return nil
}

// readBody reads the whole body; each is called with every chunk, or once with a plain body.
func (m *message) readBody(reader *bufio.Reader, each func([]byte)) error {
	m.body = m.body[:0]
	if !m.chunked {
		if err := m.readPart(reader, m.length); err != nil {
			return err
		}
		if each != nil && m.length > 0 {
			each(m.body)
		}
		return nil
	}
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return unexpected(err)
		}
		size, err := strconv.ParseInt(string(bytes.TrimRight(line, "\r\n")), 16, 32)
		if err != nil || size < 0 {
			return errMalformed
		}
		begin := len(m.body)
		if each != nil {
			begin, m.body = 0, m.body[:0]
		}
		if err := m.readPart(reader, int(size)); err != nil {
			return err
		}
		if _, err := reader.Discard(2); err != nil {
			return unexpected(err)
		}
		if size == 0 {
			return nil
		}
		if each != nil {
			each(m.body[begin:])
		}
	}
}

func (m *message) readPart(reader *bufio.Reader, size int) error {
	begin := len(m.body)
	if needed := begin + size; needed > cap(m.body) {
		larger := make([]byte, begin, needed)
		copy(larger, m.body)
		m.body = larger
	}
	m.body = m.body[:begin+size]
	_, err := io.ReadFull(reader, m.body[begin:])
	return unexpected(err)
}

// unexpected makes an end within a message an error of its own.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

package main

import (
	"bufio"
	"bytes"
	"net"
	"strconv"
	"strings"
	"time"
)

// http1Client has a connection of its own, opened again where it has ended.
type http1Client struct {
	plan
	number     int
	request    []byte
	connection net.Conn
	reader     *bufio.Reader
	response   message
}

func newHTTP1Client(asked plan, number int) *http1Client {
	made := &http1Client{plan: asked, number: number}
	made.request = made.text()
	if asked.ramp == 0 { // All are there before the first request.
		_ = made.open()
	}
	return made
}

// text is the whole request.
func (c *http1Client) text() []byte {
	body := own(c.body, c.number)
	head := []string{
		"POST " + c.path + " HTTP/1.1", "Host: " + c.address,
		"Content-Type: application/json", "Content-Length: " + strconv.Itoa(len(body)),
	}
	for _, header := range c.headers {
		head = append(head, own(header, c.number))
	}
	return []byte(strings.Join(head, "\r\n") + "\r\n\r\n" + body)
}

// isRandom tells whether no two requests are equal.
func (c *http1Client) isRandom() bool {
	return strings.Contains(c.body+strings.Join(c.headers, ""), "{r}")
}

func (c *http1Client) open() error {
	opened, err := net.DialTimeout("tcp", c.address, c.timeout)
	if err != nil {
		return err
	}
	c.connection, c.reader = opened, bufio.NewReaderSize(opened, 4096)
	return nil
}

func (c *http1Client) close() {
	if c.connection != nil {
		c.connection.Close()
		c.connection = nil
	}
}

func (c *http1Client) ask(to *reply) (string, error) {
	if c.connection == nil {
		if err := c.open(); err != nil {
			time.Sleep(10 * time.Millisecond)
			return "connect", err
		}
	}
	if c.isRandom() {
		c.request = c.text()
	}
	_ = c.connection.SetDeadline(time.Now().Add(c.timeout))
	where, err := c.exchange(to)
	if err != nil || c.response.closes {
		c.close()
	}
	return where, err
}

func (c *http1Client) exchange(to *reply) (string, error) {
	if _, err := c.connection.Write(c.request); err != nil {
		return "send", err
	}
	if err := c.response.readHead(c.reader); err != nil {
		return "head", err
	}
	status := "0"
	if words := bytes.SplitN(c.response.first, []byte(" "), 3); len(words) > 1 {
		status = string(words[1])
	}
	to.head(status)
	return "body", c.response.readBody(c.reader, to.part)
}

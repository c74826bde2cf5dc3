package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// http2Client is one connection without TLS, with many requests at a time.
type http2Client struct {
	plan
	transport *http.Transport
}

// http2Stream is one of those that share a connection.
type http2Stream struct {
	*http2Client
	number int
}

func newHTTP2Client(asked plan) *http2Client {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	return &http2Client{asked, &http.Transport{Protocols: &protocols, MaxConnsPerHost: 1}}
}

// close leaves the connection to the others.
func (s http2Stream) close() {}

func (s http2Stream) ask(to *reply) (string, error) {
	limited, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	body := strings.NewReader(own(s.body, s.number))
	request, err := http.NewRequestWithContext(limited, http.MethodPost, "http://"+s.address+s.path, body)
	if err != nil {
		return "send", err
	}
	request.Header.Set("Content-Type", "application/json")
	for _, header := range s.headers {
		name, value, _ := strings.Cut(own(header, s.number), ":")
		request.Header.Set(name, strings.TrimSpace(value))
	}
	response, err := s.transport.RoundTrip(request)
	if err != nil {
		return "head", err
	}
	defer response.Body.Close()
	to.head(strconv.Itoa(response.StatusCode))
	for reader := bufio.NewReader(response.Body); ; {
		part, err := reader.ReadSlice('\n')
		if len(part) > 0 {
			to.part(part)
		}
		if err == io.EOF {
			return "", nil
		}
		if err != nil && err != bufio.ErrBufferFull {
			return "body", err
		}
	}
}

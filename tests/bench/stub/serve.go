package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// behaviour is what all servers of the process do.
type behaviour struct {
	slots    int
	before   time.Duration // In a slot, before the first token or the whole answer.
	tokens   int
	interval time.Duration
	size     int // Bytes of a plain answer's body.
	chunk    int // Bytes of a stream's event.
}

// server is one stub llama-server with counts of its own.
type server struct {
	behaviour
	name     string
	plain    []byte
	requests atomic.Int64
	inFlight atomic.Int64
	most     atomic.Int64
	left     atomic.Int64 // Clients that left before their answer ended.
	first    atomic.Int64 // Arrival of the first request since the reset, in nanoseconds.
	busy     chan struct{}
}

func serve(arguments []string) error {
	var told behaviour
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	addresses := flags.String("listen", "127.0.0.1:0", "addresses, one server each, with commas between")
	flags.IntVar(&told.slots, "slots", 1<<20, "requests worked on at once; others wait")
	flags.DurationVar(&told.before, "before", 0, "time before the first token, or before a plain answer")
	flags.IntVar(&told.tokens, "tokens", 16, "events of a stream")
	flags.DurationVar(&told.interval, "interval", 0, "time between two events")
	flags.IntVar(&told.size, "size", 350, "bytes of a plain answer's body")
	flags.IntVar(&told.chunk, "chunk", 250, "bytes of an event")
	_ = flags.Parse(arguments)
	var found []string
	for _, address := range strings.Split(*addresses, ",") {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		found = append(found, listener.Addr().String())
		started := newServer(told, listener.Addr().String())
		go started.accept(listener)
	}
	fmt.Println(strings.Join(found, ","))
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	<-stop
	return nil
}

func newServer(told behaviour, name string) *server {
	started := &server{behaviour: told, name: name, busy: make(chan struct{}, told.slots)}
	frame := `{"id":"chatcmpl-stub","object":"chat.completion","created":1700000000,"model":"stub",` +
		`"system_fingerprint":"` + name + `","choices":[{"index":0,"finish_reason":"stop","message":` +
		`{"role":"assistant","content":"%s"}}],"usage":{"prompt_tokens":9,"completion_tokens":16,` +
		`"total_tokens":25},"timings":{"cache_n":1,"prompt_n":8,"predicted_n":16}}`
	pad := strings.Repeat("x", max(told.size-len(frame)+2, 1))
	started.plain = answer(200, fmt.Sprintf(frame, pad))
	return started
}

func answer(status int, body string) []byte {
	words := map[int]string{200: "OK", 404: "Not Found"}
	return []byte(fmt.Sprintf(
		"HTTP/1.1 %d %s\r\nServer: llama.cpp\r\nContent-Type: application/json; charset=utf-8\r\n"+
			"Content-Length: %d\r\n\r\n%s", status, words[status], len(body), body))
}

func (s *server) accept(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go s.talk(connection)
	}
}

// client is one connection.
type client struct {
	net.Conn
	reader *bufio.Reader
}

func (s *server) talk(connection net.Conn) {
	defer connection.Close()
	talking := &client{connection, bufio.NewReaderSize(connection, 4096)}
	var request message
	for {
		if request.readHead(talking.reader) != nil || request.readBody(talking.reader, nil) != nil {
			return
		}
		if !s.answered(talking, &request) || request.closes {
			return
		}
	}
}

// answered tells whether the connection can go on.
func (s *server) answered(c *client, request *message) bool {
	words := bytes.SplitN(request.first, []byte(" "), 3)
	if len(words) != 3 {
		return false
	}
	if string(words[0]) == "POST" && !bytes.HasPrefix(words[1], []byte("/lab")) {
		return s.work(c, request.body)
	}
	_, err := c.Write(s.page(string(words[1])))
	return err == nil
}

func (s *server) page(path string) []byte {
	switch path {
	case "/lab":
		return answer(200, s.counts())
	case "/lab/reset":
		told := s.counts()
		for _, count := range []*atomic.Int64{&s.requests, &s.left, &s.first} {
			count.Store(0)
		}
		s.most.Store(s.inFlight.Load())
		return answer(200, told)
	case "/slots":
		slots := make([]string, min(s.slots, 1024))
		for number := range slots {
			slots[number] = fmt.Sprintf(`{"id":%d,"is_processing":%t}`, number, number < len(s.busy))
		}
		return answer(200, "["+strings.Join(slots, ",")+"]")
	case "/v1/models":
		return answer(200, `{"object":"list","data":[{"id":"stub","object":"model","created":1700000000,"owned_by":"stub"}]}`)
	case "/metrics":
		return answer(200, "")
	default: // Routers ask for more: /health, /props, /get_model_info ...
		return answer(200, fmt.Sprintf(`{"status":"ok","total_slots":%d,"model_path":"stub"}`, s.slots))
	}
}

func (s *server) counts() string {
	return fmt.Sprintf(
		`{"requests":%d,"inFlight":%d,"maxInFlight":%d,"left":%d,"busy":%d,"first":%d}`,
		s.requests.Load(), s.inFlight.Load(), s.most.Load(), s.left.Load(), len(s.busy), s.first.Load())
}

func (s *server) work(c *client, body []byte) bool {
	s.first.CompareAndSwap(0, time.Now().UnixNano())
	s.requests.Add(1)
	now := s.inFlight.Add(1)
	for most := s.most.Load(); now > most && !s.most.CompareAndSwap(most, now); most = s.most.Load() {
	}
	defer s.inFlight.Add(-1)
	if !s.slot(c) {
		s.left.Add(1)
		return false
	}
	defer func() { <-s.busy }()
	var whole bool
	if bytes.Contains(body, []byte(`"stream":true`)) || bytes.Contains(body, []byte(`"stream": true`)) {
		whole = s.stream(c)
	} else if whole = c.wait(time.Now(), s.before); whole {
		_, err := c.Write(s.plain)
		whole = err == nil
	}
	if !whole {
		s.left.Add(1)
	}
	return whole
}

// slot waits for a free one; false: the client left.
func (s *server) slot(c *client) bool {
	for {
		select {
		case s.busy <- struct{}{}:
			return true
		default:
			if !c.wait(time.Now(), time.Millisecond) {
				return false
			}
		}
	}
}

func (s *server) stream(c *client) bool {
	began := time.Now()
	_, err := c.Write([]byte("HTTP/1.1 200 OK\r\nServer: llama.cpp\r\n" +
		"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"))
	if err != nil {
		return false
	}
	for token := range s.tokens {
		if !c.wait(began, s.before+time.Duration(token)*s.interval) {
			return false
		}
		if _, err := c.Write(s.event()); err != nil {
			return false
		}
	}
	last := fmt.Sprintf(
		"data: {\"id\":\"stub\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"stub\","+
			"\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],"+
			"\"timings\":{\"cache_n\":1,\"prompt_n\":8,\"predicted_n\":%d}}\n\n", s.tokens)
	_, err = c.Write([]byte(chunk(last) + chunk("data: [DONE]\n\n") + "0\r\n\r\n"))
	return err == nil
}

// event is one token, with the time at which it is sent.
func (s *server) event() []byte {
	frame := `data: {"id":"stub","object":"chat.completion.chunk","created":1700000000,"model":"stub",` +
		`"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}],"t":%d}` + "\n\n"
	now := time.Now().UnixNano()
	pad := strings.Repeat("x", max(s.chunk-len(frame)-15, 1))
	return []byte(chunk(fmt.Sprintf(frame, pad, now)))
}

func chunk(data string) string {
	return fmt.Sprintf("%x\r\n%s\r\n", len(data), data)
}

// wait until a time after another; false: the client has left meanwhile.
func (c *client) wait(began time.Time, after time.Duration) bool {
	until := began.Add(after)
	if after <= 0 || !time.Now().Before(until) {
		return true
	}
	_ = c.SetReadDeadline(until)
	_, err := c.reader.Peek(1)
	_ = c.SetReadDeadline(time.Time{})
	if err == nil { // The next request is there already.
		time.Sleep(time.Until(until))
		return true
	}
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

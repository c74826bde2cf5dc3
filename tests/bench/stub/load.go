package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// plan is what a run of the load generator does.
type plan struct {
	address     string
	path        string
	headers     []string
	body        string
	stream      bool
	connections int
	requests    int64
	rate        float64
	duration    time.Duration
	warmUp      time.Duration
	ramp        time.Duration
	timeout     time.Duration
}

// run is one run under way.
type run struct {
	plan
	began    time.Time
	sent     atomic.Int64
	open     atomic.Int64
	mostOpen atomic.Int64
	told     chan os.Signal
	stopped  atomic.Bool
}

// seen is what one connection saw; they are added up at the end.
type seen struct {
	latencies []time.Duration
	firsts    []time.Duration // From sending to the first byte of a body.
	delays    []time.Duration // From an event's time of sending.
	statuses  map[string]int
	errors    map[string]int
	ended     time.Time
}

type headers []string

func (h *headers) String() string { return strings.Join(*h, ", ") }
func (h *headers) Set(value string) error {
	*h = append(*h, value)
	return nil
}

func load(arguments []string) error {
	var asked plan
	var more headers
	flags := flag.NewFlagSet("load", flag.ExitOnError)
	target := flags.String("url", "", "where to")
	body := flags.String("body", `{"model":"chat","messages":[{"role":"user","content":"hello"}]}`, "body of every request; {n} is the number of the connection, {r} a random one")
	flags.Var(&more, "header", "`NAME: VALUE` of every request, {n} as in the body; may be repeated")
	flags.IntVar(&asked.connections, "connections", 1, "connections, each with one request at a time")
	flags.Int64Var(&asked.requests, "requests", math.MaxInt64, "requests in all; a connection ends after its share")
	flags.Float64Var(&asked.rate, "rate", 0, "requests a second in all; 0: as many as are answered")
	flags.DurationVar(&asked.duration, "duration", 10*time.Second, "no request is sent after this time")
	flags.DurationVar(&asked.warmUp, "warm-up", 0, "time before what counts")
	flags.DurationVar(&asked.ramp, "ramp", 0, "time over which connections begin")
	flags.DurationVar(&asked.timeout, "timeout", 60*time.Second, "longest time of one request")
	_ = flags.Parse(arguments)
	parsed, err := url.Parse(*target)
	if err != nil || parsed.Host == "" {
		return fmt.Errorf("-url %q is none", *target)
	}
	asked.address = parsed.Host
	asked.stream = strings.Contains(*body, `"stream":true`)
	asked.path, asked.headers, asked.body = parsed.RequestURI(), more, *body
	return json.NewEncoder(os.Stdout).Encode(asked.run())
}

// request is what one connection sends.
func (p plan) request(connection int) []byte {
	random := strconv.FormatUint(rand.Uint64(), 16)
	own := strings.NewReplacer("{n}", strconv.Itoa(connection), "{r}", random)
	body := own.Replace(p.body)
	head := []string{
		"POST " + p.path + " HTTP/1.1", "Host: " + p.address,
		"Content-Type: application/json", "Content-Length: " + strconv.Itoa(len(body)),
	}
	for _, header := range p.headers {
		head = append(head, own.Replace(header))
	}
	return []byte(strings.Join(head, "\r\n") + "\r\n\r\n" + body)
}

// isRandom tells whether no two requests are equal.
func (p plan) isRandom() bool {
	return strings.Contains(p.body+strings.Join(p.headers, ""), "{r}")
}

func (p plan) run() map[string]any {
	running := &run{plan: p, told: make(chan os.Signal, 1)}
	signal.Notify(running.told, syscall.SIGTERM)
	go func() { // Told to stop, it still says what it saw.
		<-running.told
		running.stopped.Store(true)
	}()
	every := make([]*seen, p.connections)
	connections := make([]net.Conn, p.connections)
	for number := range every {
		every[number] = &seen{statuses: map[string]int{}, errors: map[string]int{}}
		if p.ramp == 0 { // All are there before the first request.
			connections[number], _ = net.DialTimeout("tcp", p.address, p.timeout)
		}
	}
	running.began = time.Now()
	var all sync.WaitGroup
	for number := range every {
		all.Add(1)
		go func() {
			defer all.Done()
			running.loop(number, connections[number], every[number])
		}()
	}
	all.Wait()
	return running.report(every)
}

// loop is one connection's life.
func (r *run) loop(number int, connection net.Conn, mine *seen) {
	time.Sleep(r.ramp * time.Duration(number) / time.Duration(r.connections))
	request := r.request(number)
	random := r.isRandom()
	var reader *bufio.Reader
	var response message
	if connection != nil {
		reader = bufio.NewReaderSize(connection, 4096)
	}
	for turn := 0; time.Since(r.began) < r.duration && !r.stopped.Load() && r.sent.Add(1) <= r.requests; turn++ {
		due := time.Now()
		if r.rate > 0 {
			place := float64(number + turn*r.connections)
			due = r.began.Add(time.Duration(place / r.rate * float64(time.Second)))
			time.Sleep(time.Until(due))
		}
		if connection == nil {
			opened, err := net.DialTimeout("tcp", r.address, r.timeout)
			if err != nil {
				mine.failed("connect", err)
				time.Sleep(10 * time.Millisecond)
				continue
			}
			connection, reader = opened, bufio.NewReaderSize(opened, 4096)
		}
		if random {
			request = r.request(number)
		}
		_ = connection.SetDeadline(time.Now().Add(r.timeout))
		one := &seen{statuses: map[string]int{}, errors: map[string]int{}}
		if r.began.Add(r.warmUp).Before(due) || r.warmUp == 0 {
			one = mine
		}
		if !r.ask(connection, reader, request, &response, due, one) || response.closes {
			connection.Close()
			connection = nil
		}
		mine.ended = time.Now()
	}
	if connection != nil {
		connection.Close()
	}
}

// ask sends one request and reads its answer; false: the connection is of no use any more.
func (r *run) ask(
	connection net.Conn, reader *bufio.Reader, request []byte, response *message, due time.Time, to *seen,
) bool {
	if _, err := connection.Write(request); err != nil {
		return to.failed("send", err)
	}
	if err := response.readHead(reader); err != nil {
		return to.failed("head", err)
	}
	status := "0"
	if words := bytes.SplitN(response.first, []byte(" "), 3); len(words) > 1 {
		status = string(words[1])
	}
	now := r.open.Add(1)
	defer r.open.Add(-1)
	for most := r.mostOpen.Load(); now > most && !r.mostOpen.CompareAndSwap(most, now); most = r.mostOpen.Load() {
	}
	done, begun := false, false
	err := response.readBody(reader, func(part []byte) {
		if !begun {
			begun = true
			to.firsts = append(to.firsts, time.Since(due))
		}
		if r.stream {
			done = done || bytes.Contains(part, []byte("[DONE]"))
			to.delay(part)
		}
	})
	if err != nil {
		return to.failed("body", err)
	}
	if r.stream && status == "200" && !done {
		return to.failed("body", fmt.Errorf("no [DONE]"))
	}
	to.latencies = append(to.latencies, time.Since(due))
	to.statuses[status]++
	return true
}

// delay reads the times that the stub has put into its events.
func (s *seen) delay(part []byte) {
	now := time.Now().UnixNano()
	for {
		begin := bytes.Index(part, []byte(`"t":`))
		if begin < 0 {
			return
		}
		part = part[begin+4:]
		end := bytes.IndexByte(part, '}')
		if end < 0 {
			return
		}
		if sent, err := strconv.ParseInt(string(part[:end]), 10, 64); err == nil {
			s.delays = append(s.delays, time.Duration(now-sent))
		}
	}
}

func (s *seen) failed(where string, err error) bool {
	why := err.Error()
	if at := strings.LastIndex(why, ": "); at >= 0 {
		why = why[at+2:]
	}
	s.errors[where+": "+why]++
	return false
}

func (r *run) report(every []*seen) map[string]any {
	total := seen{statuses: map[string]int{}, errors: map[string]int{}}
	for _, one := range every {
		total.latencies = append(total.latencies, one.latencies...)
		total.firsts = append(total.firsts, one.firsts...)
		total.delays = append(total.delays, one.delays...)
		for status, count := range one.statuses {
			total.statuses[status] += count
		}
		for why, count := range one.errors {
			total.errors[why] += count
		}
		if one.ended.After(total.ended) {
			total.ended = one.ended
		}
	}
	seconds := max(total.ended.Sub(r.began)-r.warmUp, 0).Seconds()
	return map[string]any{
		"seconds": seconds, "answers": len(total.latencies),
		"rate":     float64(len(total.latencies)) / max(seconds, 1e-9),
		"statuses": total.statuses, "errors": total.errors, "mostOpen": r.mostOpen.Load(),
		"latency": spread(total.latencies), "first": spread(total.firsts), "delay": spread(total.delays),
	}
}

// spread gives percentiles in milliseconds.
func spread(durations []time.Duration) map[string]float64 {
	told := map[string]float64{"count": float64(len(durations))}
	if len(durations) == 0 {
		return told
	}
	slices.Sort(durations)
	for name, share := range map[string]float64{"p50": .5, "p90": .9, "p95": .95, "p99": .99, "max": 1} {
		place := min(int(share*float64(len(durations))), len(durations)-1)
		told[name] = float64(durations[place]) / float64(time.Millisecond)
	}
	return told
}

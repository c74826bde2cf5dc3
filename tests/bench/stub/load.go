package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
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
	streams     int
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

// seen is what one client saw; they are added up at the end.
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
	body := flags.String("body", `{"model":"chat","messages":[{"role":"user","content":"hello"}]}`, "body of every request; {n} is the number of the client, {r} a random one")
	flags.Var(&more, "header", "`NAME: VALUE` of every request, {n} as in the body; may be repeated")
	flags.IntVar(&asked.connections, "connections", 1, "clients, each with one request at a time and a connection of its own")
	flags.IntVar(&asked.streams, "streams", 0, "clients that share a connection of HTTP/2; 0: each speaks HTTP/1.1 over its own")
	flags.Int64Var(&asked.requests, "requests", math.MaxInt64, "requests in all; a client ends after its share")
	flags.Float64Var(&asked.rate, "rate", 0, "requests a second in all; 0: as many as are answered")
	flags.DurationVar(&asked.duration, "duration", 10*time.Second, "no request is sent after this time")
	flags.DurationVar(&asked.warmUp, "warm-up", 0, "time before what counts")
	flags.DurationVar(&asked.ramp, "ramp", 0, "time over which clients begin")
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

func (p plan) run() map[string]any {
	running := &run{plan: p, told: make(chan os.Signal, 1)}
	signal.Notify(running.told, syscall.SIGTERM)
	go func() { // Told to stop, it still says what it saw.
		<-running.told
		running.stopped.Store(true)
	}()
	every := make([]*seen, p.connections)
	for number := range every {
		every[number] = newSeen()
	}
	clients := p.clients()
	running.began = time.Now()
	var all sync.WaitGroup
	for number := range every {
		all.Add(1)
		go func() {
			defer all.Done()
			running.loop(number, clients[number], every[number])
		}()
	}
	all.Wait()
	return running.report(every)
}

// asker sends one request at a time.
type asker interface {
	// ask sends a request and reads its answer; where it failed, and why.
	ask(to *reply) (string, error)
	close()
}

// own puts a client's number and a random one into a text.
func own(text string, number int) string {
	random := strconv.FormatUint(rand.Uint64(), 16)
	return strings.NewReplacer("{n}", strconv.Itoa(number), "{r}", random).Replace(text)
}

func (p plan) clients() []asker {
	every := make([]asker, p.connections)
	var shared *http2Client
	for number := range every {
		if p.streams == 0 {
			every[number] = newHTTP1Client(p, number)
			continue
		}
		if number%p.streams == 0 {
			shared = newHTTP2Client(p)
		}
		every[number] = http2Stream{shared, number}
	}
	return every
}

// loop is one client's life.
func (r *run) loop(number int, from asker, mine *seen) {
	defer from.close()
	time.Sleep(r.ramp * time.Duration(number) / time.Duration(r.connections))
	for turn := 0; time.Since(r.began) < r.duration && !r.stopped.Load() && r.sent.Add(1) <= r.requests; turn++ {
		due := time.Now()
		if r.rate > 0 {
			place := float64(number + turn*r.connections)
			due = r.began.Add(time.Duration(place / r.rate * float64(time.Second)))
			time.Sleep(time.Until(due))
		}
		one := mine
		if r.warmUp > 0 && !r.began.Add(r.warmUp).Before(due) {
			one = newSeen()
		}
		to := reply{run: r, due: due, seen: one}
		where, err := from.ask(&to)
		to.end(where, err)
		mine.ended = time.Now()
	}
}

// reply is one answer under way.
type reply struct {
	*seen
	run         *run
	due         time.Time
	status      string
	open, begun bool
	done        bool // It told that the stream is complete.
}

// head is called with the status, once the head has come.
func (a *reply) head(status string) {
	a.status, a.open = status, true
	now := a.run.open.Add(1)
	for most := a.run.mostOpen.Load(); now > most && !a.run.mostOpen.CompareAndSwap(most, now); most = a.run.mostOpen.Load() {
	}
}

// part is called with each part of the body, as it comes.
func (a *reply) part(part []byte) {
	if !a.begun {
		a.begun = true
		a.firsts = append(a.firsts, time.Since(a.due))
	}
	if a.run.stream {
		a.done = a.done || bytes.Contains(part, []byte("[DONE]"))
		a.delay(part)
	}
}

// end counts it, or where and why it failed.
func (a *reply) end(where string, err error) {
	if a.open {
		a.run.open.Add(-1)
	}
	if err == nil && a.run.stream && a.status == "200" && !a.done {
		where, err = "body", errors.New("no [DONE]")
	}
	if err != nil {
		a.failed(where, err)
		return
	}
	a.latencies = append(a.latencies, time.Since(a.due))
	a.statuses[a.status]++
}

func newSeen() *seen {
	return &seen{statuses: map[string]int{}, errors: map[string]int{}}
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

func (s *seen) failed(where string, err error) {
	why := err.Error()
	if at := strings.LastIndex(why, ": "); at >= 0 {
		why = why[at+2:]
	}
	s.errors[where+": "+why]++
}

func (r *run) report(every []*seen) map[string]any {
	total := newSeen()
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

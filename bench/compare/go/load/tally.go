package load

import (
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const longestMicros = 120_000_000

// Tally counts what ended while it counts, and how long each took.
type Tally struct {
	mutex    sync.Mutex
	micros   *hdrhistogram.Histogram
	counts   bool
	messages int
	failed   int
	failure  string
	begun    time.Time
	seconds  float64
}

func newTally() *Tally {
	return &Tally{micros: hdrhistogram.New(1, longestMicros, 3)}
}

func (tally *Tally) begin() {
	tally.mutex.Lock()
	tally.begun = time.Now()
	tally.counts = true
	tally.mutex.Unlock()
	fmt.Println("begin")
}

func (tally *Tally) end() {
	tally.mutex.Lock()
	tally.counts = false
	tally.seconds = time.Since(tally.begun).Seconds()
	tally.mutex.Unlock()
	fmt.Println("end")
}

// Ended is told of each request, by any goroutine.
func (tally *Tally) Ended(took time.Duration, err error) {
	tally.mutex.Lock()
	defer tally.mutex.Unlock()
	if !tally.counts {
		return
	}
	if err != nil {
		tally.failed++
		tally.failure = err.Error()
		return
	}
	tally.messages++
	// A value beyond the longest is counted as the longest.
	_ = tally.micros.RecordValue(min(longestMicros, max(1, took.Microseconds())))
}

func (tally *Tally) answer() Answer {
	ms := func(percentile float64) float64 { return float64(tally.micros.ValueAtQuantile(percentile)) / 1000 }
	return Answer{
		"messages": tally.messages, "seconds": tally.seconds, "failed": tally.failed, "failure": tally.failure,
		"p50Ms": ms(50), "p99Ms": ms(99), "p999Ms": ms(99.9),
	}
}

package load

import (
	"math/rand"
	"sync"
	"sync/atomic"
	"time"
)

// Body has bytes that no compression makes smaller.
func Body(size int) []byte {
	body := make([]byte, size)
	rand.New(rand.NewSource(1)).Read(body)
	return body
}

// Measure runs `senders` goroutines that call `send` until it is over, and counts after the warm-up.
func Measure(wish Wish, senders int, send func(tally *Tally)) Answer {
	tally := newTally()
	var over atomic.Bool
	var running sync.WaitGroup
	for range senders {
		running.Go(func() {
			for !over.Load() {
				send(tally)
			}
		})
	}
	time.Sleep(wish.Seconds("warmup"))
	tally.begin()
	time.Sleep(wish.Seconds("seconds"))
	tally.end()
	over.Store(true)
	running.Wait()
	return tally.answer()
}

// OneAfterTheOther makes a sender that waits for each answer.
func OneAfterTheOther(send func() error) func(tally *Tally) {
	return func(tally *Tally) {
		begun := time.Now()
		err := send()
		tally.Ended(time.Since(begun), err)
	}
}

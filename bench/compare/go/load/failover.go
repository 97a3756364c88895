package load

import (
	"errors"
	"sync"
	"syscall"
	"time"
)

const (
	afterFailure = 2 * time.Millisecond
	lookEvery    = 20 * time.Millisecond
)

// Failover lets senders go on while the leader is killed: the longest time without an acknowledgement, counted from the
// kill on.
func Failover(wish Wish, send func() error) (Answer, error) {
	var mutex sync.Mutex
	var last, resumed time.Time
	var longest time.Duration
	messages, failed := 0, 0
	killed, over := false, false
	sender := func() {
		for {
			err := send()
			mutex.Lock()
			if over {
				mutex.Unlock()
				return
			}
			pause := time.Millisecond
			if err != nil {
				failed++
				pause = afterFailure
			} else {
				messages++
				now := time.Now()
				if killed && now.Sub(last) > longest {
					longest = now.Sub(last)
					resumed = now
				}
				last = now
			}
			mutex.Unlock()
			time.Sleep(pause)
		}
	}
	for range wish.Number("senders") {
		go sender()
	}
	time.Sleep(wish.Seconds("warmup"))
	mutex.Lock()
	killed = true
	last = time.Now()
	deadline := last.Add(wish.Seconds("within"))
	err := syscall.Kill(wish.Number("kill"), syscall.SIGKILL)
	mutex.Unlock()
	if err != nil {
		return nil, err
	}
	after := wish.Seconds("after")
	// Ends when senders have gone on for a while without another long pause.
	for {
		time.Sleep(lookEvery)
		mutex.Lock()
		now := time.Now()
		goesOn := now.Sub(last) < after/2
		over = goesOn && !resumed.IsZero() && now.Sub(resumed) > after || !goesOn && now.After(deadline)
		if over {
			defer mutex.Unlock()
			if !goesOn {
				return nil, errors.New("no acknowledgement after the kill")
			}
			return Answer{"gapMs": float64(longest.Microseconds()) / 1000, "failed": failed, "messages": messages}, nil
		}
		mutex.Unlock()
	}
}

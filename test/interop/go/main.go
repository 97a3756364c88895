// An Apache client under test, driven by lines on standard input and answering with JSON events on standard output.
//
//	consume NAME               a consumer of the group starts          -> done, then consumed...
//	stop NAME                  and shuts down                          -> done
//	send MODE PREFIX COUNT     MODE: sync, async, oneway, batch        -> acked | failed | oneway..., done
//	flow sync PREFIX           sends until `endflow`                   -> acked | failed...
//	endflow                                                            -> done
//	scenarios PHASE            PHASE: before, after the failover       -> check..., done
//	exit                       shuts everything down                   -> done, exit status 0
//
// Arguments: NAMESRV TOPIC GROUP. This client polls routes every 30 seconds; that cannot be configured.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

const (
	batchCount           = 10
	flowPace             = 5 * time.Millisecond
	flowPaceAfterFailure = 100 * time.Millisecond
	sendTimeout          = 3 * time.Second
	consumeGoroutines    = 2
)

var tags = []string{"TagA", "TagB", "TagC"}

// One line of standard output. Fields that an event does not have are left out.
type event struct {
	Event       string `json:"event"`
	Command     string `json:"command,omitempty"`
	Consumer    string `json:"consumer,omitempty"`
	Key         string `json:"key,omitempty"`
	Tag         string `json:"tag,omitempty"`
	QueueId     int    `json:"queueId"`
	QueueOffset int64  `json:"queueOffset"`
	MsgId       string `json:"msgId,omitempty"`
	Body        string `json:"body,omitempty"`
	Error       string `json:"error,omitempty"`
}

var output sync.Mutex

func report(e event) {
	line, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	output.Lock()
	defer output.Unlock()
	os.Stdout.Write(append(line, '\n'))
}

type program struct {
	namesrv   []string
	topic     string
	group     string
	producer  rocketmq.Producer
	consumers map[string]rocketmq.PushConsumer
	ending    chan struct{}
	ended     sync.WaitGroup
	// Made by the first `scenarios`.
	scenariosOf []scenario
}

func main() {
	p := &program{
		namesrv:   []string{os.Args[1]},
		topic:     os.Args[2],
		group:     os.Args[3],
		consumers: map[string]rocketmq.PushConsumer{},
	}
	var err error
	p.producer, err = rocketmq.NewProducer(
		producer.WithNsResolver(primitive.NewPassthroughResolver(p.namesrv)),
		producer.WithGroupName(p.group+"_producer"),
		producer.WithInstanceName(fmt.Sprintf("producer_%d", os.Getpid())),
		producer.WithSendMsgTimeout(sendTimeout),
		// Its default selector draws at random; the check of the two consumers' shares needs every queue in turn.
		producer.WithQueueSelector(producer.NewRoundRobinQueueSelector()),
		producer.WithRetry(2),
	)
	if err == nil {
		err = p.producer.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot start the producer:", err)
		os.Exit(1)
	}
	report(event{Event: "ready"})
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		line := commands.Text()
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if err := p.run(words); err != nil {
			report(event{Event: "error", Command: line, Error: err.Error()})
			continue
		}
		report(event{Event: "done", Command: line})
		if words[0] == "exit" {
			return
		}
	}
}

func (p *program) run(words []string) error {
	switch words[0] {
	case "consume":
		return p.consume(words[1])
	case "stop":
		stopping := p.consumers[words[1]]
		delete(p.consumers, words[1])
		return stopping.Shutdown()
	case "send":
		count, err := strconv.Atoi(words[3])
		if err != nil {
			return err
		}
		return p.send(words[1], words[2], count)
	case "flow":
		p.flow(words[2])
		return nil
	case "endflow":
		close(p.ending)
		p.ended.Wait()
		return nil
	case "scenarios":
		return p.scenarios(words[1])
	case "exit":
		for _, c := range p.consumers {
			if err := c.Shutdown(); err != nil {
				return err
			}
		}
		return p.producer.Shutdown()
	}
	return fmt.Errorf("no such command: %s", words[0])
}

func (p *program) consume(name string) error {
	c, err := rocketmq.NewPushConsumer(
		consumer.WithNsResolver(primitive.NewPassthroughResolver(p.namesrv)),
		consumer.WithGroupName(p.group),
		consumer.WithInstance(fmt.Sprintf("%s_%d", name, os.Getpid())),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
		consumer.WithConsumeGoroutineNums(consumeGoroutines),
	)
	if err != nil {
		return err
	}
	selector := consumer.MessageSelector{Type: consumer.TAG, Expression: "TagA || TagB"}
	err = c.Subscribe(p.topic, selector, func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, m := range messages {
			report(event{Event: "consumed", Consumer: name, Key: m.GetKeys(), Tag: m.GetTags(), QueueId: m.Queue.QueueId,
				QueueOffset: m.QueueOffset, MsgId: m.OffsetMsgId, Body: string(m.Body)})
		}
		return consumer.ConsumeSuccess, nil
	})
	if err != nil {
		return err
	}
	p.consumers[name] = c
	return c.Start()
}

// Message n of a series: key PREFIX-n, the tags in turn.
func (p *program) message(prefix string, n int) *primitive.Message {
	key := fmt.Sprintf("%s-%d", prefix, n)
	m := primitive.NewMessage(p.topic, []byte("body of "+key))
	m.WithTag(tags[n%len(tags)])
	m.WithKeys([]string{key})
	return m
}

func (p *program) send(mode, prefix string, count int) error {
	switch mode {
	case "sync":
		for n := 0; n < count; n++ {
			p.sendSync(p.message(prefix, n))
		}
	case "async":
		var answered sync.WaitGroup
		for n := 0; n < count; n++ {
			m := p.message(prefix, n)
			answered.Add(1)
			err := p.producer.SendAsync(context.Background(), func(_ context.Context, r *primitive.SendResult, err error) {
				outcome(m, r, err)
				answered.Done()
			}, m)
			if err != nil {
				outcome(m, nil, err)
				answered.Done()
			}
		}
		answered.Wait()
	case "oneway":
		for n := 0; n < count; n++ {
			m := p.message(prefix, n)
			if err := p.producer.SendOneWay(context.Background(), m); err != nil {
				outcome(m, nil, err)
			} else {
				report(event{Event: "oneway", Key: m.GetKeys(), Tag: m.GetTags()})
			}
		}
	case "batch":
		for from := 0; from < count; from += batchCount {
			p.sendBatch(prefix, from, min(batchCount, count-from))
		}
	default:
		return fmt.Errorf("no such mode: %s", mode)
	}
	return nil
}

func (p *program) sendSync(m *primitive.Message) bool {
	r, err := p.producer.SendSync(context.Background(), m)
	return outcome(m, r, err)
}

// One answer for the whole batch: the queue offset of its first message and the offset ids of all, in order.
func (p *program) sendBatch(prefix string, from, count int) {
	batch := make([]*primitive.Message, count)
	for i := range batch {
		batch[i] = p.message(prefix, from+i)
	}
	r, err := p.producer.SendSync(context.Background(), batch...)
	for i, m := range batch {
		if err != nil {
			outcome(m, nil, err)
			continue
		}
		ids := strings.Split(r.OffsetMsgID, ",")
		if len(ids) != count {
			outcome(m, nil, fmt.Errorf("%d offset message ids in the answer to a batch of %d", len(ids), count))
			continue
		}
		each := *r
		each.QueueOffset += int64(i)
		each.OffsetMsgID = ids[i]
		outcome(m, &each, nil)
	}
}

func (p *program) flow(prefix string) {
	p.ending = make(chan struct{})
	p.ended.Add(1)
	go func() {
		defer p.ended.Done()
		for n := 0; ; n++ {
			pace := flowPace
			if !p.sendSync(p.message(prefix, n)) {
				pace = flowPaceAfterFailure
			}
			select {
			case <-p.ending:
				return
			case <-time.After(pace):
			}
		}
	}()
}

func outcome(m *primitive.Message, r *primitive.SendResult, err error) bool {
	if err == nil && r.Status != primitive.SendOK {
		err = fmt.Errorf("send status %d", r.Status)
	}
	if err != nil {
		report(event{Event: "failed", Key: m.GetKeys(), Tag: m.GetTags(), Error: err.Error()})
		return false
	}
	report(event{Event: "acked", Key: m.GetKeys(), Tag: m.GetTags(), QueueId: r.MessageQueue.QueueId,
		QueueOffset: r.QueueOffset, MsgId: r.OffsetMsgID})
	return true
}

// What this client can do beyond sending and consuming: each scenario runs on a steady group (`before`), leaves something behind that lives
// through the death of the leader, and runs again (`after`). One check is reported for each.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

const (
	untilTimeout = 120 * time.Second
	untilPace    = 100 * time.Millisecond
)

type scenario interface {
	name() string
	// What was seen, or what is wrong.
	before() (string, error)
	after() (string, error)
}

type check struct {
	Event  string `json:"event"`
	Name   string `json:"name"`
	Ok     bool   `json:"ok"`
	Detail string `json:"detail"`
}

func (p *program) scenarios(phase string) error {
	if p.scenariosOf == nil {
		p.scenariosOf = []scenario{newTransactions(p), &requestReply{program: p}}
	}
	for _, one := range p.scenariosOf {
		run := one.before
		if phase == "after" {
			run = one.after
		}
		detail, err := run()
		if err != nil {
			detail = err.Error()
		}
		line, failure := json.Marshal(check{"check", one.name() + " " + phase + " failover", err == nil, detail})
		if failure != nil {
			return failure
		}
		output.Lock()
		os.Stdout.Write(append(line, '\n'))
		output.Unlock()
	}
	return nil
}

func until(what string, holds func() (bool, string)) error {
	deadline := time.Now().Add(untilTimeout)
	for {
		done, missing := holds()
		if done {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %v until %s; %s", untilTimeout, what, missing)
		}
		time.Sleep(untilPace)
	}
}

// A push consumer of a group of its own, of one tag of the topic.
func (p *program) consumerOf(name, tag string, consume func(*primitive.MessageExt) error) (rocketmq.PushConsumer, error) {
	c, err := rocketmq.NewPushConsumer(
		consumer.WithNsResolver(primitive.NewPassthroughResolver(p.namesrv)),
		consumer.WithGroupName(p.group+"_"+name),
		consumer.WithInstance(fmt.Sprintf("%s_%d", name, os.Getpid())),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
	)
	if err != nil {
		return nil, err
	}
	selector := consumer.MessageSelector{Type: consumer.TAG, Expression: tag}
	err = c.Subscribe(p.topic, selector, func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, m := range messages {
			if err := consume(m); err != nil {
				fmt.Fprintln(os.Stderr, name, err)
				return consumer.ConsumeRetryLater, nil
			}
		}
		return consumer.ConsumeSuccess, nil
	})
	if err != nil {
		return nil, err
	}
	return c, c.Start()
}

// ---- Transactions: committed, rolled back, or unknown until the broker asks. What is committed is in the log once, nothing else is seen.

const (
	transactionTag   = "Tx"
	transactionCount = 15
	transactionPace  = 20 * time.Millisecond
	outcomeProperty  = "outcome"
)

// What becomes of message n, in turn.
var outcomes = []string{"commit", "rollback", "check-commit", "check-rollback", "ask-twice"}

type transactions struct {
	program  *program
	producer rocketmq.TransactionProducer
	consumer rocketmq.PushConsumer

	lock sync.Mutex
	// Keys whose local transaction ran: of a half message whose send was not acknowledged it did not.
	executed  map[string]bool
	committed map[string]bool
	questions map[string]int
	// Queue and offset of each message that was consumed, by key.
	places map[string]map[string]bool

	flowEnds   chan struct{}
	flow       sync.WaitGroup
	flowSent   int
	flowFailed int
}

func newTransactions(p *program) *transactions {
	return &transactions{
		program:   p,
		executed:  map[string]bool{},
		committed: map[string]bool{},
		questions: map[string]int{},
		places:    map[string]map[string]bool{},
		flowEnds:  make(chan struct{}),
	}
}

func (t *transactions) name() string { return "transactions" }

func (t *transactions) ExecuteLocalTransaction(m *primitive.Message) primitive.LocalTransactionState {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.executed[m.GetKeys()] = true
	switch m.GetProperty(outcomeProperty) {
	case "commit":
		return primitive.CommitMessageState
	case "rollback":
		return primitive.RollbackMessageState
	}
	return primitive.UnknowState
}

func (t *transactions) CheckLocalTransaction(m *primitive.MessageExt) primitive.LocalTransactionState {
	t.lock.Lock()
	defer t.lock.Unlock()
	key := m.GetKeys()
	t.questions[key]++
	outcome := m.GetProperty(outcomeProperty)
	switch {
	case !t.executed[key] || strings.HasSuffix(outcome, "rollback"):
		return primitive.RollbackMessageState
	case outcome == "ask-twice" && t.questions[key] == 1:
		return primitive.UnknowState
	}
	return primitive.CommitMessageState
}

func (t *transactions) before() (string, error) {
	p := t.program
	var err error
	t.consumer, err = p.consumerOf("tx", transactionTag, func(m *primitive.MessageExt) error {
		t.lock.Lock()
		defer t.lock.Unlock()
		places := t.places[m.GetKeys()]
		if places == nil {
			places = map[string]bool{}
			t.places[m.GetKeys()] = places
		}
		places[fmt.Sprintf("%d-%d", m.Queue.QueueId, m.QueueOffset)] = true
		return nil
	})
	if err != nil {
		return "", err
	}
	t.producer, err = rocketmq.NewTransactionProducer(
		t,
		producer.WithNsResolver(primitive.NewPassthroughResolver(p.namesrv)),
		producer.WithGroupName(p.group+"_tx_producer"),
		// Of its own: a client that a consumer shares is asked for the consumer's group only.
		producer.WithInstanceName(fmt.Sprintf("txproducer_%d", os.Getpid())),
		producer.WithSendMsgTimeout(sendTimeout),
		// A send that is repeated may leave two half messages, and both are committed.
		producer.WithRetry(0),
	)
	if err != nil {
		return "", err
	}
	if err := t.producer.Start(); err != nil {
		return "", err
	}
	seen, err := t.sendAndAwait("before")
	if err != nil {
		return "", err
	}
	// Some are open when the leader dies, others are on their way.
	for n := 0; n < transactionCount; n++ {
		if err := t.send(fmt.Sprintf("open-%d", n), outcomes[2+n%3]); err != nil {
			return "", err
		}
	}
	t.flow.Add(1)
	go t.keepSending()
	return seen, nil
}

func (t *transactions) after() (string, error) {
	close(t.flowEnds)
	t.flow.Wait()
	seen, err := t.sendAndAwait("after")
	if err != nil {
		return "", err
	}
	if err := t.producer.Shutdown(); err != nil {
		return "", err
	}
	if err := t.consumer.Shutdown(); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s; through the failover %d sent, %d failed", seen, t.flowSent, t.flowFailed), nil
}

func (t *transactions) keepSending() {
	defer t.flow.Done()
	for n := 0; ; n++ {
		if err := t.send(fmt.Sprintf("flow-%d", n), outcomes[n%len(outcomes)]); err != nil {
			t.flowFailed++
		} else {
			t.flowSent++
		}
		select {
		case <-t.flowEnds:
			return
		case <-time.After(transactionPace):
		}
	}
}

func (t *transactions) send(key, outcome string) error {
	m := primitive.NewMessage(t.program.topic, []byte("body of "+key))
	m.WithTag(transactionTag)
	m.WithKeys([]string{key})
	m.WithProperty(outcomeProperty, outcome)
	result, err := t.producer.SendMessageInTransaction(context.Background(), m)
	if err != nil {
		return err
	}
	if result.Status != primitive.SendOK {
		return fmt.Errorf("send status %d of the half message %s", result.Status, key)
	}
	t.lock.Lock()
	defer t.lock.Unlock()
	if !t.executed[key] {
		return fmt.Errorf("the local transaction of %s did not run", key)
	}
	if !strings.HasSuffix(outcome, "rollback") {
		t.committed[key] = true
	}
	return nil
}

func (t *transactions) sendAndAwait(prefix string) (string, error) {
	var asked []string
	for n := 0; n < transactionCount; n++ {
		key, outcome := fmt.Sprintf("%s-%d", prefix, n), outcomes[n%len(outcomes)]
		if strings.HasPrefix(outcome, "check") || outcome == "ask-twice" {
			asked = append(asked, key)
		}
		var err error
		// Routes are polled every 30 seconds: the next leader is known that late.
		failure := until(key+" is sent", func() (bool, string) {
			err = t.send(key, outcome)
			return err == nil, fmt.Sprint(err)
		})
		if failure != nil {
			return "", failure
		}
	}
	err := until("all that were committed are consumed", func() (bool, string) {
		missing := t.missing()
		return len(missing) == 0, "missing " + strings.Join(missing, " ")
	})
	if err != nil {
		return "", err
	}
	err = until("all open ones are asked for", func() (bool, string) {
		t.lock.Lock()
		defer t.lock.Unlock()
		for _, key := range asked {
			if t.questions[key] == 0 {
				return false, "nobody asked for " + key
			}
		}
		return true, ""
	})
	if err != nil {
		return "", err
	}
	t.lock.Lock()
	defer t.lock.Unlock()
	for key, places := range t.places {
		if !t.committed[key] {
			return "", fmt.Errorf("consumed and not committed: %s", key)
		}
		if len(places) > 1 {
			return "", fmt.Errorf("more than once in the log: %s at %v", key, places)
		}
	}
	return fmt.Sprintf("%d committed and consumed, %d asked for", len(t.committed), len(t.questions)), nil
}

func (t *transactions) missing() []string {
	t.lock.Lock()
	defer t.lock.Unlock()
	var missing []string
	for key := range t.committed {
		if t.places[key] == nil {
			missing = append(missing, key)
		}
	}
	sort.Strings(missing)
	return missing
}

// ---- Request-reply: a producer asks, a consumer answers, the answer comes back to who asked.

const (
	requestTag     = "Rpc"
	requestCount   = 20
	requestTimeout = 20 * time.Second
)

type requestReply struct {
	program  *program
	consumer rocketmq.PushConsumer
	round    int
}

func (r *requestReply) name() string { return "request-reply" }

func (r *requestReply) before() (string, error) {
	var err error
	r.consumer, err = r.program.consumerOf("rpc", requestTag, func(question *primitive.MessageExt) error {
		answer, err := consumer.CreateReplyMessage(question, nil)
		if err != nil {
			return err
		}
		// What it is given as a body it takes for properties.
		answer.Body = []byte("answer to " + question.GetKeys())
		_, err = r.program.producer.SendSync(context.Background(), answer)
		return err
	})
	if err != nil {
		return "", err
	}
	return r.ask()
}

func (r *requestReply) after() (string, error) {
	seen, err := r.ask()
	if err != nil {
		return "", err
	}
	return seen, r.consumer.Shutdown()
}

func (r *requestReply) ask() (string, error) {
	r.round++
	var slowest time.Duration
	for n := 0; n < requestCount; n++ {
		key := fmt.Sprintf("rpc-%d-%d", r.round, n)
		question := primitive.NewMessage(r.program.topic, []byte("body of "+key))
		question.WithTag(requestTag)
		question.WithKeys([]string{key})
		start := time.Now()
		answer, err := r.program.producer.Request(context.Background(), requestTimeout, question)
		if err != nil {
			return "", fmt.Errorf("%s: %w", key, err)
		}
		if answer == nil || string(answer.Body) != "answer to "+key {
			return "", fmt.Errorf("%s is answered with %v", key, answer)
		}
		slowest = max(slowest, time.Since(start))
	}
	return fmt.Sprintf("%d answers, the slowest after %d ms", requestCount, slowest.Milliseconds()), nil
}

// A load made with the Go client of NATS, on JetStream streams of three replicas in files.
package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"compare/load"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	reconnectWait = 50 * time.Millisecond
	sendTimeout   = 3 * time.Second
	createTimeout = 5 * time.Second
	againAfter    = 20 * time.Millisecond
)

func main() {
	load.Serve(func(wish load.Wish) (load.Answer, error) {
		connection, err := nats.Connect(wish.Text("namesrv"),
			nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait), nats.ReconnectJitter(0, 0))
		if err != nil {
			return nil, err
		}
		defer connection.Close()
		switch wish.Workload {
		case "first":
			return first(connection, wish)
		case "send":
			return send(connection, wish)
		case "failover":
			stream, err := jetstream.New(connection)
			if err != nil {
				return nil, err
			}
			return load.Failover(wish, publish(stream, wish))
		default:
			return nil, fmt.Errorf("no workload %s", wish.Workload)
		}
	})
}

// Tries until the stream is there and a message is acknowledged: the servers may be starting. Servers are named by their
// ports.
func first(connection *nats.Conn, wish load.Wish) (load.Answer, error) {
	streams, err := jetstream.New(connection)
	if err != nil {
		return nil, err
	}
	topic := wish.Text("topic")
	deadline := time.Now().Add(wish.Seconds("within"))
	for {
		port, err := createAndPublish(streams, topic)
		if err == nil {
			return load.Answer{"port": port}, nil
		}
		if time.Now().After(deadline) {
			return nil, err
		}
		time.Sleep(againAfter)
	}
}

func createAndPublish(streams jetstream.JetStream, topic string) (int, error) {
	within, cancel := context.WithTimeout(context.Background(), createTimeout)
	defer cancel()
	stream, err := streams.CreateOrUpdateStream(within, jetstream.StreamConfig{
		Name: topic, Subjects: []string{topic}, Replicas: 3, Storage: jetstream.FileStorage,
	})
	if err != nil {
		return 0, err
	}
	if _, err = streams.Publish(within, topic, load.Body(16)); err != nil {
		return 0, err
	}
	info, err := stream.Info(within)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(info.Cluster.Leader)
}

func publish(streams jetstream.JetStream, wish load.Wish) func() error {
	topic, body := wish.Text("topic"), load.Body(wish.Number("size"))
	return func() error {
		within, cancel := context.WithTimeout(context.Background(), sendTimeout)
		defer cancel()
		_, err := streams.Publish(within, topic, body)
		return err
	}
}

func send(connection *nats.Conn, wish load.Wish) (load.Answer, error) {
	if wish.Text("how") == "async" {
		return keepInFlight(connection, wish)
	}
	streams, err := jetstream.New(connection)
	if err != nil {
		return nil, err
	}
	return load.Measure(wish, wish.Number("senders"), load.OneAfterTheOther(publish(streams, wish))), nil
}

type underWay struct {
	begun  time.Time
	future jetstream.PubAckFuture
}

// One sender; acknowledgements come in the order of the messages.
func keepInFlight(connection *nats.Conn, wish load.Wish) (load.Answer, error) {
	inFlight := wish.Number("senders")
	streams, err := jetstream.New(connection, jetstream.WithPublishAsyncMaxPending(inFlight))
	if err != nil {
		return nil, err
	}
	topic, body := wish.Text("topic"), load.Body(wish.Number("size"))
	free := make(chan struct{}, inFlight)
	sent := make(chan underWay, inFlight)
	defer close(sent)
	// The only tally of this load, known with the first send.
	tallies := make(chan *load.Tally, 1)
	go func() {
		tally := <-tallies
		for one := range sent {
			select {
			case <-one.future.Ok():
				tally.Ended(time.Since(one.begun), nil)
			case err := <-one.future.Err():
				tally.Ended(time.Since(one.begun), err)
			}
			<-free
		}
	}()
	return load.Measure(wish, 1, func(tally *load.Tally) {
		select {
		case tallies <- tally:
		default:
		}
		free <- struct{}{}
		begun := time.Now()
		future, err := streams.PublishAsync(topic, body)
		if err != nil {
			<-free
			tally.Ended(time.Since(begun), err)
			return
		}
		sent <- underWay{begun, future}
	}), nil
}

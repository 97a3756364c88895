// A load made with the Go client of etcd: each message is a new key.
package main

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"compare/load"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const (
	dialTimeout  = 5 * time.Second
	sendTimeout  = 3 * time.Second
	firstTimeout = time.Second
	againAfter   = 20 * time.Millisecond
)

func main() {
	load.Serve(func(wish load.Wish) (load.Answer, error) {
		client, err := clientv3.New(clientv3.Config{
			Endpoints: strings.Split(wish.Text("namesrv"), ","), DialTimeout: dialTimeout, Logger: zap.NewNop(),
		})
		if err != nil {
			return nil, err
		}
		defer client.Close()
		switch wish.Workload {
		case "first":
			return first(client, wish)
		case "send":
			// It has no asynchronous call: goroutines that wait are its way.
			return load.Measure(wish, wish.Number("senders"), load.OneAfterTheOther(put(client, wish))), nil
		case "failover":
			return load.Failover(wish, put(client, wish))
		default:
			return nil, fmt.Errorf("no workload %s", wish.Workload)
		}
	})
}

func put(client *clientv3.Client, wish load.Wish) func() error {
	topic, body := wish.Text("topic"), string(load.Body(wish.Number("size")))
	var count atomic.Int64
	return func() error {
		within, cancel := context.WithTimeout(context.Background(), sendTimeout)
		defer cancel()
		_, err := client.Put(within, fmt.Sprintf("%s/%012d", topic, count.Add(1)), body)
		return err
	}
}

// Tries until a key is stored: the servers may be starting.
func first(client *clientv3.Client, wish load.Wish) (load.Answer, error) {
	deadline := time.Now().Add(wish.Seconds("within"))
	for {
		port, err := putAndFindLeader(client, wish.Text("topic"))
		if err == nil {
			return load.Answer{"port": port}, nil
		}
		if time.Now().After(deadline) {
			return nil, err
		}
		time.Sleep(againAfter)
	}
}

func putAndFindLeader(client *clientv3.Client, topic string) (int, error) {
	within, cancel := context.WithTimeout(context.Background(), firstTimeout)
	defer cancel()
	if _, err := client.Put(within, topic, "first"); err != nil {
		return 0, err
	}
	for _, endpoint := range client.Endpoints() {
		status, err := client.Status(within, endpoint)
		if err != nil {
			return 0, err
		}
		if status.Leader != status.Header.MemberId {
			continue
		}
		address, err := url.Parse(endpoint)
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(address.Port())
	}
	return 0, fmt.Errorf("no leader")
}

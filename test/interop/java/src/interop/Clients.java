package interop;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageQueue;

/** Clients set up alike, and the waiting that several scenarios share. */
final class Clients {
    /** How long a condition may take: an Apache group needs more than ten seconds for a failover. */
    static final long WAIT_MS = 60_000;

    private static final long ROUTE_WAIT_MS = 5_000;

    private static final AtomicInteger COUNTER = new AtomicInteger();

    final String namesrv;

    Clients(String namesrv) {
        this.namesrv = namesrv;
    }

    /** Routes and heartbeats every second, so that a failover is not waited for half a minute. */
    void configure(ClientConfig client, String name) {
        client.setNamesrvAddr(namesrv);
        client.setInstanceName(name + "_" + ProcessHandle.current().pid() + "_" + COUNTER.incrementAndGet());
        client.setPollNameServerInterval(1000);
        client.setHeartbeatBrokerInterval(1000);
        client.setPersistConsumerOffsetInterval(1000);
    }

    DefaultMQProducer producer(String group) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer(group);
        configure(producer, "producer");
        producer.setSendMsgTimeout(3000);
        producer.start();
        return producer;
    }

    /** A push consumer that begins at the first message; the caller subscribes, sets its listener and starts it. */
    DefaultMQPushConsumer pushConsumer(String group) {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        configure(consumer, "consumer");
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setConsumeThreadMin(2);
        consumer.setConsumeThreadMax(2);
        return consumer;
    }

    /**
     * Creates the topic at the leader and waits until its route names all its queues. Where no leader is known the client creates nothing and says
     * nothing, so it is told again.
     */
    List<MessageQueue> createTopic(DefaultMQProducer producer, String topic, int queues) throws Exception {
        List<MessageQueue> found = new ArrayList<>();
        until("topic " + topic + " has " + queues + " queues", () -> {
            Version.createTopic(producer, topic, queues);
            until("the route of " + topic + " names them", ROUTE_WAIT_MS, () -> {
                List<MessageQueue> route = producer.fetchPublishMessageQueues(topic);
                found.clear();
                found.addAll(route);
                return route.size() == queues;
            });
            return true;
        });
        return found;
    }

    /** Sends until it is acknowledged. */
    static SendResult send(String what, Callable<SendResult> attempt) throws Exception {
        SendResult[] result = new SendResult[1];
        until(what, () -> {
            result[0] = attempt.call();
            return result[0].getSendStatus() == SendStatus.SEND_OK;
        });
        return result[0];
    }

    /** Waits until the condition holds; an exception counts as "not yet" and becomes the cause at the end. */
    static void until(String what, Callable<Boolean> condition) throws Exception {
        until(what, WAIT_MS, condition);
    }

    private static void until(String what, long waitMs, Callable<Boolean> condition) throws Exception {
        long deadline = System.nanoTime() + waitMs * 1_000_000;
        Exception last = null;
        while (true) {
            try {
                if (condition.call()) {
                    return;
                }
                last = null;
            } catch (InterruptedException interrupted) {
                throw interrupted;
            } catch (Exception notYet) {
                last = notYet;
            }
            if (System.nanoTime() > deadline) {
                throw new IllegalStateException("waited " + waitMs + " ms until " + what, last);
            }
            Thread.sleep(20);
        }
    }

    static void expect(boolean holds, String what) {
        if (!holds) {
            throw new IllegalStateException(what);
        }
    }

    static void expectEqual(Object actual, Object expected, String what) {
        expect(actual.equals(expected), what + ": expected " + expected + ", got " + actual);
    }

    /** The first few elements of a set that should be empty, for the text of a failure. */
    static String some(Set<?> set) {
        return set.size() + " " + set.stream().limit(5).toList();
    }
}

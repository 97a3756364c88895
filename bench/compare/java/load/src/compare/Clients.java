package compare;

import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;

/** Producers and consumers as every workload has them: each with a connection of its own, none repeating a send. */
final class Clients {
    /** Senders learn of a new leader by this refresh, on every system alike. */
    private static final int ROUTE_REFRESH_MS = 200;
    private static final int SEND_TIMEOUT_MS = 3000;
    private static final int TOPIC_QUEUES = 8;
    private static final AtomicInteger COUNT = new AtomicInteger();

    static DefaultMQProducer producer(Wish wish) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer("compare_producer");
        producer.setNamesrvAddr(wish.text("namesrv"));
        producer.setInstanceName("producer" + COUNT.incrementAndGet());
        producer.setPollNameServerInterval(ROUTE_REFRESH_MS);
        producer.setSendMsgTimeout(SEND_TIMEOUT_MS);
        producer.setRetryTimesWhenSendFailed(0);
        producer.setRetryTimesWhenSendAsyncFailed(0);
        producer.setDefaultTopicQueueNums(TOPIC_QUEUES);
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        producer.start();
        return producer;
    }

    static DefaultMQPushConsumer consumer(Wish wish, MessageListenerConcurrently listener) throws Exception {
        int count = COUNT.incrementAndGet();
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer("compare_" + wish.text("topic") + "_" + count);
        consumer.setNamesrvAddr(wish.text("namesrv"));
        consumer.setInstanceName("consumer" + count);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setConsumeThreadMin(4);
        consumer.setConsumeThreadMax(4);
        consumer.setConsumeMessageBatchMaxSize(32);
        // A broker refuses pulls of a group that it does not know yet: Apache's until the next heartbeat.
        consumer.setHeartbeatBrokerInterval(1000);
        consumer.subscribe(wish.text("topic"), "*");
        consumer.registerMessageListener(listener);
        consumer.start();
        return consumer;
    }

    /** Bytes that no compression makes smaller. */
    static byte[] body(int size) {
        byte[] body = new byte[size];
        new Random(1).nextBytes(body);
        return body;
    }

    static boolean stored(SendResult result) {
        return result.getSendStatus() == SendStatus.SEND_OK;
    }

    /** @return the port of the broker that stored it. */
    static int port(SendResult result) {
        // The id of an IPv4 broker: address, port, offset, in hex.
        return Integer.parseInt(result.getOffsetMsgId().substring(8, 16), 16);
    }
}

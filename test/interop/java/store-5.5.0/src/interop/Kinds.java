package interop;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * One message of each kind that a client can make a broker store, and what a consumer group adds: retries, dead letters and
 * committed offsets. The group is KindsCG, its topic has two queues.
 */
final class Kinds {
    static final String GROUP = "KindsCG";

    private final String namesrv;
    private final DefaultMQProducer producer;
    private final String topic;
    private int wanted;

    Kinds(String namesrv, DefaultMQProducer producer, String topic) {
        this.namesrv = namesrv;
        this.producer = producer;
        this.topic = topic;
    }

    void write() throws Exception {
        List<MessageQueue> queues = new ArrayList<>();
        Waiting.until("the route of " + topic, () -> queues.addAll(producer.fetchPublishMessageQueues(topic)));
        queues.sort(null);
        MessageQueue first = queues.get(0);
        MessageQueue second = queues.get(1);
        send(message("TagA", "key1", "tags and a key"), first);
        send(message("TagA", "key1 key2 key3", "several keys"), second);
        send(message(null, null, "neither"), first);
        Message unicode = message("Täg-標籤", "schlüssel", "Grüße, 世界");
        unicode.putUserProperty("名前", "値 😀");
        send(unicode, second);
        Message flagged = message("TagB", "key1", "a flag");
        flagged.setFlag(-7);
        send(flagged, first);
        send(new Message(topic, "TagZ", "zip", "compressed ".repeat(3_000).getBytes(StandardCharsets.UTF_8)), first);
        byte[] noise = new byte[40_000];
        new Random(7).nextBytes(noise);
        for (int i = 0; i < 6; i++) {
            send(new Message(topic, "TagN", "noise" + i, noise), second);
        }
        List<Message> batch = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            batch.add(message("TagC", "batch" + i, "of a batch " + i));
        }
        producer.send(batch, first);
        wanted += batch.size();
        Message soon = message("TagD", "soon", "delayed a second");
        soon.setDelayTimeLevel(1);
        send(soon, first);
        Message late = message("TagD", "late", "delayed two hours");
        late.setDelayTimeLevel(18);
        producer.send(late, first);
        transactions();
        send(message("again", "again", "consumed twice"), second);
        send(message("dead", "dead", "to the dead letters"), second);
        consume();
    }

    private Message message(String tags, String keys, String body) {
        return new Message(topic, tags, keys, body.getBytes(StandardCharsets.UTF_8));
    }

    private void send(Message message, MessageQueue queue) throws Exception {
        producer.send(message, queue);
        wanted++;
    }

    private void transactions() throws Exception {
        TransactionMQProducer transactional = new TransactionMQProducer("KindsTx");
        transactional.setNamesrvAddr(namesrv);
        transactional.setInstanceName("transactional");
        transactional.setTransactionListener(new TransactionListener() {
            @Override
            public LocalTransactionState executeLocalTransaction(Message message, Object outcome) {
                return (LocalTransactionState) outcome;
            }

            @Override
            public LocalTransactionState checkLocalTransaction(MessageExt message) {
                return LocalTransactionState.UNKNOW;
            }
        });
        transactional.start();
        for (LocalTransactionState outcome : LocalTransactionState.values()) {
            transactional.sendMessageInTransaction(message("TagT", "tx" + outcome.ordinal(), outcome.name()), outcome);
        }
        wanted++;
        transactional.shutdown();
    }

    /** Consumes everything, one message a second time, one never. */
    private void consume() throws Exception {
        Set<String> done = ConcurrentHashMap.newKeySet();
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(GROUP);
        consumer.setNamesrvAddr(namesrv);
        consumer.setInstanceName("kinds");
        consumer.setPollNameServerInterval(500);
        consumer.setHeartbeatBrokerInterval(500);
        consumer.setPersistConsumerOffsetInterval(500);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            MessageExt message = messages.get(0);
            if ("dead".equals(message.getTags())) {
                context.setDelayLevelWhenNextConsume(-1);
                return ConsumeConcurrentlyStatus.RECONSUME_LATER;
            }
            if ("again".equals(message.getTags()) && message.getReconsumeTimes() == 0) {
                context.setDelayLevelWhenNextConsume(1);
                return ConsumeConcurrentlyStatus.RECONSUME_LATER;
            }
            done.add(Arrays.toString(message.getBody()) + message.getQueueOffset());
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        // All but the dead one.
        Waiting.until("everything is consumed", () -> done.size() >= wanted - 1);
        consumer.shutdown();
    }
}

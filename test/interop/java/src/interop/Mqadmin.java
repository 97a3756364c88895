package interop;

import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Runs commands of Apache's mqadmin, one after another in this process, and the clients that they ask for. Lines in, lines out, "done" or
 * "error …" after each.
 *
 *   mqadmin COMMAND ARGUMENT…                 out … for each line that the command printed, err … for each on standard error
 *   produce GROUP TOPIC QUEUE COUNT KEY TAG   sent UNIQUE_ID OFFSET_ID QUEUE_OFFSET KEY for each; the producer stays
 *   consume GROUP TOPIC TAGS                  a push consumer starts, from the first message on, and stays
 *   consumed GROUP                            consumed COUNT
 *   stop GROUP                                the clients of that group end
 *
 * In an argument %20 stands for a space. Argument: the name server.
 */
public final class Mqadmin {
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    private final String namesrv;
    private final Map<String, DefaultMQProducer> producers = new LinkedHashMap<>();
    private final Map<String, DefaultMQPushConsumer> consumers = new LinkedHashMap<>();
    private final Map<String, AtomicInteger> consumed = new LinkedHashMap<>();

    private Mqadmin(String namesrv) {
        this.namesrv = namesrv;
    }

    public static void main(String[] args) throws Exception {
        Mqadmin program = new Mqadmin(args[0]);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        OUT.println("done");
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            try {
                program.run(words(line));
                OUT.println("done");
            } catch (Exception failure) {
                failure.printStackTrace();
                OUT.println("error " + String.valueOf(failure).replaceAll("\\s+", " "));
            }
        }
        Runtime.getRuntime().halt(0);
    }

    private static String[] words(String line) {
        String[] words = line.trim().split(" ");
        for (int i = 0; i < words.length; i++) {
            words[i] = words[i].replace("%20", " ");
        }
        return words;
    }

    private void run(String[] words) throws Exception {
        switch (words[0]) {
            case "mqadmin" -> mqadmin(Arrays.copyOfRange(words, 1, words.length));
            case "produce" -> produce(words);
            case "consume" -> consume(words[1], words[2], words[3]);
            case "consumed" -> OUT.println("consumed " + consumed.get(words[1]).get());
            case "stop" -> stop(words[1]);
            default -> throw new IllegalArgumentException(words[0]);
        }
    }

    /** What it prints is what a user sees; it catches its own exceptions and prints them. */
    private void mqadmin(String[] arguments) {
        List<String> all = new ArrayList<>(List.of(arguments));
        all.add("-n");
        all.add(namesrv);
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        PrintStream formerOut = System.out;
        PrintStream formerErr = System.err;
        System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
        try {
            Version.mqadmin(all.toArray(new String[0]));
        } finally {
            System.setOut(formerOut);
            System.setErr(formerErr);
        }
        out.toString(StandardCharsets.UTF_8).lines().forEach(line -> OUT.println("out " + line));
        err.toString(StandardCharsets.UTF_8).lines().forEach(line -> OUT.println("err " + line));
    }

    private void produce(String[] words) throws Exception {
        DefaultMQProducer producer = producers.get(words[1]);
        if (producer == null) {
            producer = new DefaultMQProducer(words[1]);
            producer.setNamesrvAddr(namesrv);
            producer.setInstanceName("producer_" + words[1]);
            producer.setPollNameServerInterval(1000);
            producer.setHeartbeatBrokerInterval(1000);
            producer.start();
            producers.put(words[1], producer);
        }
        String topic = words[2];
        int queueId = Integer.parseInt(words[3]);
        List<MessageQueue> queues = producer.fetchPublishMessageQueues(topic);
        MessageQueue queue = queues.stream().filter(one -> one.getQueueId() == queueId).findFirst().orElseThrow();
        for (int i = 0; i < Integer.parseInt(words[4]); i++) {
            String key = words[5] + i;
            byte[] body = ("body of " + key).getBytes(StandardCharsets.UTF_8);
            SendResult sent = producer.send(new Message(topic, words[6], key, body), queue);
            OUT.println("sent " + sent.getMsgId() + " " + sent.getOffsetMsgId() + " " + sent.getQueueOffset() + " " + key);
        }
    }

    private void consume(String group, String topic, String tags) throws Exception {
        AtomicInteger count = new AtomicInteger();
        consumed.put(group, count);
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(namesrv);
        consumer.setInstanceName("consumer_" + group);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setPollNameServerInterval(1000);
        consumer.setHeartbeatBrokerInterval(1000);
        consumer.setPersistConsumerOffsetInterval(1000);
        consumer.subscribe(topic, tags);
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            count.addAndGet(messages.size());
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        consumers.put(group, consumer);
    }

    private void stop(String group) {
        DefaultMQProducer producer = producers.remove(group);
        if (producer != null) {
            producer.shutdown();
        }
        DefaultMQPushConsumer consumer = consumers.remove(group);
        if (consumer != null) {
            consumer.shutdown();
        }
    }
}

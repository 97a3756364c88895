package interop;

import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Bodies come as they went: compressed with every method that the client has, four megabytes, one byte; and properties in any script. */
final class Bodies implements Scenario {
    /** Noise becomes longer when it is compressed, and is compressed all the same. */
    private static final int LARGEST = 4 * 1024 * 1024 - 64 * 1024;
    private static final int LARGE_EVERY = 20;
    private static final String SCRIPTS = "ключ-鍵-🔑";

    private final ScenarioContext context;
    private final Map<String, MessageExt> arrived = new ConcurrentHashMap<>();
    private final Map<String, DefaultMQProducer> producers = new HashMap<>();
    private DefaultMQPushConsumer consumer;

    Bodies(ScenarioContext context) {
        this.context = context;
    }

    @Override
    public String name() {
        return "bodies";
    }

    @Override
    public String before() throws Exception {
        context.createTopic(context.topic("bodies"));
        consumer = context.clients.pushConsumer(context.group("bodies"));
        consumer.subscribe(context.topic("bodies"), "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, consuming) -> {
            messages.forEach(message -> arrived.put(message.getKeys(), message));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        for (String method : Version.compressionMethods()) {
            DefaultMQProducer producer = context.clients.producer(context.group("bodies_" + method));
            producer.setRetryTimesWhenSendFailed(0);
            Version.compressWith(producer, method);
            producers.put(method, producer);
        }
        return exchange("before");
    }

    @Override
    public String through(Middle middle) throws Exception {
        byte[] noise = noise();
        List<String> methods = Version.compressionMethods();
        Map<String, byte[]> sent = new LinkedHashMap<>();
        int count = middle.repeat(n -> {
            String method = methods.get(n % methods.size());
            byte[] body = n % LARGE_EVERY == 0 ? noise : text();
            send(producers.get(method), "swing-" + n, body);
            sent.put("swing-" + n, body);
        });
        String seen = exchange("after");
        for (String key : sent.keySet()) {
            expectArrived(key, sent.get(key));
        }
        consumer.shutdown();
        producers.values().forEach(DefaultMQProducer::shutdown);
        return seen + "; " + count + " sent while the leader died";
    }

    private static byte[] noise() {
        byte[] noise = new byte[LARGEST];
        new Random(1).nextBytes(noise);
        return noise;
    }

    private static byte[] text() {
        byte[] text = new byte[200_000];
        Arrays.fill(text, (byte) 'a');
        return text;
    }

    private String exchange(String prefix) throws Exception {
        byte[] noise = noise();
        byte[] text = text();
        send(context.producer, prefix + "-large", noise);
        send(context.producer, prefix + "-small", new byte[] {0});
        List<String> methods = Version.compressionMethods();
        for (String method : methods) {
            send(producers.get(method), prefix + "-" + method, text);
        }
        expectArrived(prefix + "-large", noise);
        expectArrived(prefix + "-small", new byte[] {0});
        for (String method : methods) {
            expectArrived(prefix + "-" + method, text);
            int stored = arrived.get(prefix + "-" + method).getStoreSize();
            Clients.expect(stored < text.length / 10, method + " is stored in " + stored + " bytes");
        }
        return "1 and " + LARGEST + " bytes; " + methods;
    }

    private void send(DefaultMQProducer producer, String key, byte[] body) throws Exception {
        Message message = new Message(context.topic("bodies"), "TagA", key, body);
        message.putUserProperty(SCRIPTS, SCRIPTS);
        context.send(producer, message, null);
    }

    private void expectArrived(String key, byte[] body) throws Exception {
        Clients.until(key + " arrives", () -> arrived.containsKey(key));
        Clients.expect(Arrays.equals(arrived.get(key).getBody(), body), "the body of " + key + " is another");
        Clients.expectEqual(String.valueOf(arrived.get(key).getUserProperty(SCRIPTS)), SCRIPTS, "its property");
    }
}

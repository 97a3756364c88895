package interop;

import java.util.Arrays;
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
    private static final String SCRIPTS = "ключ-鍵-🔑";

    private final ScenarioContext context;
    private final Map<String, MessageExt> arrived = new ConcurrentHashMap<>();
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
        return exchange("before");
    }

    @Override
    public String after() throws Exception {
        String seen = exchange("after");
        consumer.shutdown();
        return seen;
    }

    private String exchange(String prefix) throws Exception {
        byte[] noise = new byte[LARGEST];
        new Random(1).nextBytes(noise);
        byte[] text = new byte[200_000];
        Arrays.fill(text, (byte) 'a');
        send(context.producer, prefix + "-large", noise);
        send(context.producer, prefix + "-small", new byte[] {0});
        List<String> methods = Version.compressionMethods();
        for (String method : methods) {
            DefaultMQProducer producer = context.clients.producer(context.group("bodies_" + method));
            Version.compressWith(producer, method);
            send(producer, prefix + "-" + method, text);
            producer.shutdown();
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
        Clients.send(producer, message, null);
    }

    private void expectArrived(String key, byte[] body) throws Exception {
        Clients.until(key + " arrives", () -> arrived.containsKey(key));
        Clients.expect(Arrays.equals(arrived.get(key).getBody(), body), "the body of " + key + " is another");
        Clients.expectEqual(String.valueOf(arrived.get(key).getUserProperty(SCRIPTS)), SCRIPTS, "its property");
    }
}

package interop;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;

/** Clients that trace write down in the trace topic what was sent and what was consumed, again soon after the leader died. */
final class Trace implements Scenario {
    private static final String TRACE_TOPIC = "RMQ_SYS_TRACE_TOPIC";
    private static final List<String> KINDS = List.of("Pub", "SubBefore", "SubAfter");
    private static final long AGAIN_EVERY_MS = 1000;

    private final ScenarioContext context;
    private final Queue<String> traces = new ConcurrentLinkedQueue<>();
    private DefaultMQProducer producer;
    private DefaultMQPushConsumer consumer;
    private DefaultMQPushConsumer reader;

    Trace(ScenarioContext context) {
        this.context = context;
    }

    @Override
    public String name() {
        return "message trace";
    }

    @Override
    public String before() throws Exception {
        context.createTopic(context.topic("trace"));
        producer = new DefaultMQProducer(context.group("trace_producer"), null, true, null);
        context.clients.configure(producer, "tracing_producer");
        producer.start();
        consumer = new DefaultMQPushConsumer(context.group("trace"), null, new AllocateMessageQueueAveragely(), true, null);
        context.clients.configure(consumer, "tracing_consumer");
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(context.topic("trace"), "*");
        consumer.registerMessageListener(
            (MessageListenerConcurrently) (messages, consuming) -> ConsumeConcurrentlyStatus.CONSUME_SUCCESS);
        consumer.start();
        reader = context.clients.pushConsumer(context.group("trace_reader"));
        reader.subscribe(TRACE_TOPIC, "*");
        reader.registerMessageListener((MessageListenerConcurrently) (messages, consuming) -> {
            messages.forEach(message -> traces.add(new String(message.getBody(), StandardCharsets.UTF_8)));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        reader.start();
        return sendAndAwait("before");
    }

    @Override
    public String through(Middle middle) throws Exception {
        List<SendResult> sent = new ArrayList<>();
        middle.repeat(n -> sent.add(context.send(producer, context.message(context.topic("trace"), "swing", n), null)));
        // The client sends a trace once, and goes on without it where that fails.
        Clients.until("a message is traced to its end", () -> {
            sent.add(context.send(producer, context.message(context.topic("trace"), "after", sent.size()), null));
            Thread.sleep(AGAIN_EVERY_MS);
            return isTraced(sent.get(sent.size() - 1));
        });
        producer.shutdown();
        consumer.shutdown();
        reader.shutdown();
        return sent.stream().filter(this::isTraced).count() + " of " + sent.size() + " sent while the leader died and after it are traced to their ends";
    }

    private boolean isTraced(SendResult sent) {
        return KINDS.stream().allMatch(kind -> traces.stream().anyMatch(trace -> trace.contains(kind) && trace.contains(sent.getMsgId())));
    }

    private String sendAndAwait(String prefix) throws Exception {
        SendResult sent = context.send(producer, context.message(context.topic("trace"), prefix, 0), null);
        for (String kind : KINDS) {
            Clients.until(kind + " of " + sent.getMsgId() + " is in the trace topic",
                () -> traces.stream().anyMatch(trace -> trace.contains(kind) && trace.contains(sent.getMsgId())));
        }
        return "sent, before and after it was consumed";
    }
}

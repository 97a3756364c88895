package interop;

import java.nio.charset.StandardCharsets;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;

/** Clients that trace write down in the trace topic what was sent and what was consumed. */
final class Trace implements Scenario {
    private static final String TRACE_TOPIC = "RMQ_SYS_TRACE_TOPIC";

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
    public String after() throws Exception {
        String seen = sendAndAwait("after");
        producer.shutdown();
        consumer.shutdown();
        reader.shutdown();
        return seen;
    }

    private String sendAndAwait(String prefix) throws Exception {
        SendResult sent = Clients.send(producer, context.message(context.topic("trace"), prefix, 0), null);
        for (String kind : new String[] {"Pub", "SubBefore", "SubAfter"}) {
            Clients.until(kind + " of " + sent.getMsgId() + " is in the trace topic",
                () -> traces.stream().anyMatch(trace -> trace.contains(kind) && trace.contains(sent.getMsgId())));
        }
        return "sent, before and after it was consumed";
    }
}

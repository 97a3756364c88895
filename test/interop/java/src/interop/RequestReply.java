package interop;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.RequestCallback;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** A producer asks, a consumer answers: the answer comes back to who asked, whether it waits for it or is called, also when the leader dies in between. */
final class RequestReply implements Scenario {
    private static final int COUNT = 20;
    /** Longer than a pull that waits at a dead broker. */
    private static final long TIMEOUT_MS = 45_000;
    /** For questions that may have died with the leader. */
    private static final long SHORT_TIMEOUT_MS = 3_000;
    /** Its question may wait at a dead broker and then go back once. */
    private static final long HELD_TIMEOUT_MS = 90_000;
    private static final String HELD = "held";

    private final ScenarioContext context;
    private DefaultMQProducer answering;
    private DefaultMQPushConsumer consumer;
    private int round;
    private volatile Middle holding;
    private volatile boolean isHolding;

    RequestReply(ScenarioContext context) {
        this.context = context;
    }

    @Override
    public String name() {
        return "request-reply";
    }

    @Override
    public String before() throws Exception {
        context.createTopic(context.topic("request"));
        answering = context.clients.producer(context.group("answering"));
        consumer = context.clients.pushConsumer(context.group("request"));
        consumer.subscribe(context.topic("request"), "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, consuming) -> {
            for (MessageExt message : messages) {
                if (!answer(message)) {
                    return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        return ask();
    }

    @Override
    public String through(Middle middle) throws Exception {
        holding = middle;
        Message held = context.message(context.topic("request"), HELD, 0);
        CompletableFuture<Message> answer = new CompletableFuture<>();
        context.producer.request(held, callback(answer), HELD_TIMEOUT_MS);
        Clients.until("a question is with who answers it", () -> isHolding);
        int[] repeated = {0};
        int count = middle.repeat(n -> {
            int[] attempts = {0};
            Clients.until("question " + n + " is answered", () -> {
                repeated[0] += attempts[0] > 0 ? 1 : 0;
                Message question = context.message(context.topic("request"), "swing-" + n + "-" + attempts[0]++, n);
                expectAnswer(context.producer.request(question, SHORT_TIMEOUT_MS), question);
                return true;
            });
        });
        expectAnswer(answer.get(HELD_TIMEOUT_MS, TimeUnit.MILLISECONDS), held);
        String seen = ask();
        consumer.shutdown();
        answering.shutdown();
        return seen + "; " + count + " while the leader died, asked again " + repeated[0] + " times; the answer that was held came, too";
    }

    private static RequestCallback callback(CompletableFuture<Message> answer) {
        return new RequestCallback() {
            @Override
            public void onSuccess(Message message) {
                // Both clients call this with null, too, once the question is stored.
                if (message != null) {
                    answer.complete(message);
                }
            }

            @Override
            public void onException(Throwable failure) {
                answer.completeExceptionally(failure);
            }
        };
    }

    private boolean answer(MessageExt question) {
        if (question.getKeys().startsWith(HELD)) {
            isHolding = true;
            holding.hold();
        }
        try {
            byte[] body = ("answer to " + question.getKeys()).getBytes(StandardCharsets.UTF_8);
            answering.send(MessageUtil.createReplyMessage(question, body), 3000);
            return true;
        } catch (Exception failure) {
            failure.printStackTrace();
            return false;
        }
    }

    private String ask() throws Exception {
        round++;
        long slowestMs = 0;
        for (int n = 0; n < COUNT; n++) {
            Message question = context.message(context.topic("request"), "sync-" + round, n);
            long start = System.nanoTime();
            Message answer = context.producer.request(question, TIMEOUT_MS);
            slowestMs = Math.max(slowestMs, (System.nanoTime() - start) / 1_000_000);
            expectAnswer(answer, question);
        }
        List<Message> questions = new ArrayList<>();
        List<CompletableFuture<Message>> answers = new ArrayList<>();
        for (int n = 0; n < COUNT; n++) {
            Message question = context.message(context.topic("request"), "async-" + round, n);
            CompletableFuture<Message> answer = new CompletableFuture<>();
            questions.add(question);
            answers.add(answer);
            context.producer.request(question, callback(answer), TIMEOUT_MS);
        }
        for (int n = 0; n < COUNT; n++) {
            expectAnswer(answers.get(n).get(2 * TIMEOUT_MS, TimeUnit.MILLISECONDS), questions.get(n));
        }
        return 2 * COUNT + " answers, the slowest of those that were waited for after " + slowestMs + " ms";
    }

    private static void expectAnswer(Message answer, Message question) {
        Clients.expectEqual(new String(answer.getBody(), StandardCharsets.UTF_8), "answer to " + question.getKeys(), "the answer");
        Clients.expectEqual(String.valueOf(answer.getProperty("CORRELATION_ID")), question.getProperty("CORRELATION_ID"), "its correlation id");
    }
}

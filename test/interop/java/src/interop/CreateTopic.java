package interop;

import java.util.List;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.MessageQueue;

/** createTopic through the route of TBW102: the topic has the queues that were asked for, also when its leader died at once. */
final class CreateTopic implements Scenario {
    private final ScenarioContext context;

    CreateTopic(ScenarioContext context) {
        this.context = context;
    }

    @Override
    public String name() {
        return "create topic";
    }

    @Override
    public String before() throws Exception {
        return create(context.topic("create1"), 0);
    }

    @Override
    public String through(Middle middle) throws Exception {
        int count = middle.repeat(n -> context.createTopic(context.topic("create_" + n)));
        for (int n = 0; n < count; n++) {
            sendToEach(context.producer.fetchPublishMessageQueues(context.topic("create_" + n)), 0);
        }
        String kept = sendToEach(context.producer.fetchPublishMessageQueues(context.topic("create1")), 1);
        return kept + "; " + count + " created while the leader died";
    }

    private String create(String topic, long firstOffset) throws Exception {
        return sendToEach(context.createTopic(topic), firstOffset);
    }

    private String sendToEach(List<MessageQueue> queues, long expectedOffset) throws Exception {
        Clients.expectEqual(queues.size(), context.queueCount, "queues in the route");
        String prefix = "create-" + expectedOffset;
        List<SendResult> results = context.sendToEach(queues, prefix, 1);
        for (int n = 0; n < results.size(); n++) {
            SendResult result = results.get(n);
            if (context.isSentAgain(result.getMessageQueue().getTopic(), prefix + "-" + n)) {
                continue;
            }
            Clients.expectEqual(result.getQueueOffset(), expectedOffset, "queue offset in " + result.getMessageQueue());
        }
        return queues.size() + " queues, next offset " + (expectedOffset + 1);
    }
}

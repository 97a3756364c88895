package interop;

import java.util.List;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.MessageQueue;

/** createTopic through the route of TBW102: the topic has the queues that were asked for, here and after a failover. */
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
    public String after() throws Exception {
        String kept = sendToEach(context.producer.fetchPublishMessageQueues(context.topic("create1")), 1);
        return kept + "; " + create(context.topic("create2"), 0);
    }

    private String create(String topic, long firstOffset) throws Exception {
        return sendToEach(context.createTopic(topic), firstOffset);
    }

    private String sendToEach(List<MessageQueue> queues, long expectedOffset) throws Exception {
        Clients.expectEqual(queues.size(), context.queueCount, "queues in the route");
        for (SendResult result : context.sendToEach(queues, "create", 1)) {
            Clients.expectEqual(result.getQueueOffset(), expectedOffset, "queue offset in " + result.getMessageQueue());
        }
        return queues.size() + " queues, next offset " + (expectedOffset + 1);
    }
}

package interop;

import java.nio.charset.StandardCharsets;
import java.util.List;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.MessageClientExt;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * A message is found by the offset message id of its acknowledgement. The id is the broker's address and the physical
 * offset; after a failover the same offset holds the same message at the new leader and at the old one, restarted.
 */
final class ViewMessage implements Scenario {
    private static final int ADDRESS_DIGITS = 16;

    private final ScenarioContext context;
    private MessageQueue queue;
    private SendResult sent;

    ViewMessage(ScenarioContext context) {
        this.context = context;
    }

    @Override
    public String name() {
        return "view message by offset id";
    }

    @Override
    public String before() throws Exception {
        List<MessageQueue> queues = context.createTopic(context.topic("view"));
        queue = queues.get(0);
        sent = Clients.send(context.producer, context.message(queue.getTopic(), "view", 0), queue);
        expectSame(sent.getOffsetMsgId());
        return sent.getOffsetMsgId();
    }

    @Override
    public String after() throws Exception {
        String now = Clients.send(context.producer, context.message(queue.getTopic(), "view", 1), queue).getOffsetMsgId();
        expectSame(now.substring(0, ADDRESS_DIGITS) + sent.getOffsetMsgId().substring(ADDRESS_DIGITS));
        Clients.until("the old leader serves again", () -> {
            Version.viewMessage(context.producer, queue.getTopic(), sent.getOffsetMsgId());
            return true;
        });
        expectSame(sent.getOffsetMsgId());
        Clients.expect(!now.startsWith(sent.getOffsetMsgId().substring(0, ADDRESS_DIGITS)), "the leader changed");
        return "at the new leader and at the old";
    }

    private void expectSame(String offsetMsgId) throws Exception {
        MessageExt found = Version.viewMessage(context.producer, queue.getTopic(), offsetMsgId);
        Clients.expectEqual(found.getTopic(), queue.getTopic(), "topic");
        Clients.expectEqual(found.getKeys(), "view-0", "key");
        Clients.expectEqual(new String(found.getBody(), StandardCharsets.UTF_8), "body of view-0", "body");
        Clients.expectEqual(found.getQueueId(), queue.getQueueId(), "queue");
        Clients.expectEqual(found.getQueueOffset(), sent.getQueueOffset(), "queue offset");
        if (found instanceof MessageClientExt) {
            Clients.expectEqual(((MessageClientExt) found).getMsgId(), sent.getMsgId(), "unique id");
        }
    }
}

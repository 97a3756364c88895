package interop;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
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
        sent = context.send(context.message(queue.getTopic(), "view", 0), queue);
        expectSame(sent.getOffsetMsgId(), sent, "view-0");
        return sent.getOffsetMsgId();
    }

    @Override
    public String through(Middle middle) throws Exception {
        List<SendResult> all = new ArrayList<>();
        DefaultMQProducer asking = context.clients.producer(context.group("view"));
        asking.getDefaultMQProducerImpl().getMqClientFactory().getMQAdminImpl().setTimeoutMillis(1000);
        int[] unanswered = {0};
        middle.repeat(n -> {
            SendResult one = context.send(context.message(queue.getTopic(), "swing", n), queue);
            all.add(one);
            try {
                Version.viewMessage(asking, queue.getTopic(), one.getOffsetMsgId());
            } catch (Exception deadBroker) {
                // The id says whom to ask. All are asked for again below.
                unanswered[0]++;
            }
        });
        asking.shutdown();
        String now = context.send(context.message(queue.getTopic(), "view", 1), queue).getOffsetMsgId();
        Clients.expect(!now.startsWith(all.get(0).getOffsetMsgId().substring(0, ADDRESS_DIGITS)), "the leader changed");
        for (int n = 0; n < all.size(); n++) {
            expectEverywhere(now, all.get(n), "swing-" + n);
        }
        expectEverywhere(now, sent, "view-0");
        return all.size() + " that were sent while the leader died, at the new leader and at the old; " + unanswered[0] + " were asked for in vain meanwhile";
    }

    private void expectEverywhere(String now, SendResult result, String key) throws Exception {
        String id = result.getOffsetMsgId();
        expectSame(now.substring(0, ADDRESS_DIGITS) + id.substring(ADDRESS_DIGITS), result, key);
        Clients.until("who led then serves again", () -> {
            Version.viewMessage(context.producer, queue.getTopic(), id);
            return true;
        });
        expectSame(id, result, key);
    }

    private void expectSame(String offsetMsgId, SendResult result, String key) throws Exception {
        MessageExt found = Version.viewMessage(context.producer, queue.getTopic(), offsetMsgId);
        Clients.expectEqual(found.getTopic(), queue.getTopic(), "topic");
        Clients.expectEqual(found.getKeys(), key, "key");
        Clients.expectEqual(new String(found.getBody(), StandardCharsets.UTF_8), "body of " + key, "body");
        Clients.expectEqual(found.getQueueId(), queue.getQueueId(), "queue");
        Clients.expectEqual(found.getQueueOffset(), result.getQueueOffset(), "queue offset");
        if (found instanceof MessageClientExt) {
            Clients.expectEqual(((MessageClientExt) found).getMsgId(), result.getMsgId(), "unique id");
        }
    }
}

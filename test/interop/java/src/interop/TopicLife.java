package interop;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/**
 * Topics under Apache's admin client: fewer queues to write and nothing lost, no permission to write, deleted with their messages and
 * created again, also
 * while the leader dies: what was deleted stays deleted.
 */
final class TopicLife implements Scenario {
    private static final int NO_PERMISSION = 16;
    private static final int TOPIC_NOT_EXIST = 17;
    private static final int INVALID_PARAMETER = 29;
    private static final int READ = 4;
    private static final int READ_WRITE = 6;
    private static final int PER_QUEUE = 3;

    private final ScenarioContext context;
    private final List<String> old = new ArrayList<>();
    private final List<String> recent = new ArrayList<>();
    private DefaultMQAdminExt admin;

    TopicLife(ScenarioContext context) {
        this.context = context;
    }

    @Override
    public String name() {
        return "topic life";
    }

    @Override
    public String before() throws Exception {
        admin = new DefaultMQAdminExt();
        context.clients.configure(admin, "admin");
        admin.start();
        String topic = context.topic("life");
        put(topic, 4, READ_WRITE);
        sendToQueues(topic, "old", 4, old);
        put(topic, 2, READ_WRITE);
        Clients.until("the producer knows of two queues", () -> context.producer.fetchPublishMessageQueues(topic).size() == 2);
        sendToQueues(topic, "fewer", 2, old);
        consume(topic, "life1", old);

        put(topic, 2, READ);
        Clients.expectEqual(codeOf(() -> context.producer.send(message(topic, "no"), queue(topic, 0))), NO_PERMISSION, "a send without permission");
        put(topic, 4, READ_WRITE);
        context.send(message(topic, "again"), queue(topic, 0));

        Clients.expectEqual(admin.cleanExpiredConsumerQueueByAddr(leader()), true, "cleaning queues");
        Clients.expectEqual(admin.cleanUnusedTopicByAddr(leader()), true, "cleaning topics");
        Clients.expectEqual(admin.deleteExpiredCommitLogByAddr(leader()), true, "deleting what is old");

        Set<String> leader = Set.of(leader());
        Clients.expectEqual(codeOf(() -> admin.deleteTopicInBroker(leader, "TBW102")), INVALID_PARAMETER, "deleting TBW102");
        delete(topic);
        put(topic, 4, READ_WRITE);
        sendToQueues(topic, "recent", 4, recent);
        consume(topic, "life2", recent);
        return old.size() + " with fewer queues, deleted, then " + recent.size();
    }

    @Override
    public String through(Middle middle) throws Exception {
        String topic = context.topic("life");
        String gone = filled("gone");
        String going = filled("going");
        delete(gone);
        int count = middle.repeat(n -> {
            put(topic, n % 2 == 0 ? 2 : 4, READ_WRITE);
            context.send(message(topic, "swing-" + n), queue(topic, n % 2));
            recent.add("swing-" + n);
        });
        // While there is no leader yet, or just one.
        delete(going);
        for (String deleted : List.of(gone, going)) {
            List<String> keys = new ArrayList<>();
            put(deleted, 4, READ_WRITE);
            sendToQueues(deleted, "created", 4, keys);
            consume(deleted, "life_" + deleted, keys);
        }
        put(topic, 4, READ_WRITE);
        sendToQueues(topic, "after", 4, recent);
        consume(topic, "life3", recent);
        admin.shutdown();
        return recent.size() + " since it was deleted; changed " + count + " times while the leader died; two deleted and created again";
    }

    /** A topic with messages that nobody is to get. */
    private String filled(String name) throws Exception {
        String topic = context.topic("life_" + name);
        put(topic, 4, READ_WRITE);
        sendToQueues(topic, name, 4, new ArrayList<>());
        return topic;
    }

    private void delete(String topic) throws Exception {
        Clients.until(topic + " is deleted", () -> {
            admin.deleteTopicInBroker(Set.of(leader()), topic);
            String cluster = admin.examineTopicRouteInfo("TBW102").getBrokerDatas().get(0).getCluster();
            Version.deleteFromNamesrv(admin, context.clients.namesrv, cluster, topic);
            return true;
        });
        Clients.until("the route of " + topic + " is gone", () -> codeOf(() -> admin.examineTopicRouteInfo(topic)) == TOPIC_NOT_EXIST);
    }

    /** At the leader, whoever that is by now; until its route says so. */
    private void put(String topic, int writeQueues, int permission) throws Exception {
        TopicConfig config = new TopicConfig(topic, 4, writeQueues, permission);
        Clients.until(topic + " is put", () -> {
            admin.createAndUpdateTopicConfig(leader(), config);
            return true;
        });
        Clients.until("the route of " + topic + " is that", () -> {
            var queues = admin.examineTopicRouteInfo(topic).getQueueDatas();
            return queues.size() == 1 && queues.get(0).getWriteQueueNums() == writeQueues && queues.get(0).getPerm() == permission;
        });
    }

    private String leader() throws Exception {
        return admin.examineTopicRouteInfo("TBW102").getBrokerDatas().get(0).getBrokerAddrs().get(0L);
    }

    private MessageQueue queue(String topic, int queueId) throws Exception {
        String broker = admin.examineTopicRouteInfo("TBW102").getBrokerDatas().get(0).getBrokerName();
        return new MessageQueue(topic, broker, queueId);
    }

    private Message message(String topic, String key) {
        return new Message(topic, "TagA", key, key.getBytes(StandardCharsets.UTF_8));
    }

    private void sendToQueues(String topic, String prefix, int queues, List<String> keys) throws Exception {
        for (int n = 0; n < queues * PER_QUEUE; n++) {
            String key = prefix + "-" + n;
            context.send(message(topic, key), queue(topic, n % queues));
            keys.add(key);
        }
    }

    /** A new group, from the first message: gets these and nothing else. */
    private void consume(String topic, String group, List<String> keys) throws Exception {
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = context.clients.pushConsumer(context.group(group));
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, ignored) -> {
            inbox.add(messages);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        try {
            inbox.awaitAll("group " + group, keys);
            inbox.expectExactly("group " + group, keys, key -> context.isSentAgain(topic, key));
        } finally {
            consumer.shutdown();
        }
    }

    private interface Call {
        void run() throws Exception;
    }

    /** The response code with which a call fails; -1 when it does not. */
    private static int codeOf(Call call) throws Exception {
        try {
            call.run();
            return -1;
        } catch (MQBrokerException refused) {
            return refused.getResponseCode();
        } catch (MQClientException refused) {
            return refused.getResponseCode();
        }
    }
}

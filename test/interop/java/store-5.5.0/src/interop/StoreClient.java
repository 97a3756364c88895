package interop;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.TreeSet;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.route.TopicRouteData;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/**
 * Asks a broker for what it has stored, ours or Apache's. Lines in, lines out, "done" or "error …" after each.
 *
 *   topic ADDRESS NAME QUEUES       creates a topic at that broker
 *   route TOPIC                     waits until its route has a master
 *   pull TOPIC ID                   record … for each message of the queue
 *   query TOPIC KEY                 index TOPIC KEY PHYSICAL,…
 *   view TOPIC ID                   record … for one message, by its offset message id
 *   offset GROUP TOPIC ID           offset GROUP TOPIC ID VALUE
 *   send TOPIC ID COUNT KEY         sent PHYSICAL… QUEUE_OFFSET for each
 *   write TOPIC                     sends a message of every kind, see Kinds
 *
 * Argument: the name server.
 */
public final class StoreClient {
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    private final String namesrv;
    private final DefaultMQAdminExt admin = new DefaultMQAdminExt();
    private final DefaultMQProducer producer = new DefaultMQProducer("store_client");
    private final DefaultMQPullConsumer puller;

    private StoreClient(String namesrv) throws Exception {
        this.namesrv = namesrv;
        this.puller = puller("store_client");
        admin.setNamesrvAddr(namesrv);
        admin.start();
        producer.setNamesrvAddr(namesrv);
        producer.setPollNameServerInterval(1000);
        producer.start();
    }

    private DefaultMQPullConsumer puller(String group) throws Exception {
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(group);
        consumer.setNamesrvAddr(namesrv);
        consumer.setInstanceName("puller_" + group);
        consumer.setPollNameServerInterval(1000);
        consumer.start();
        return consumer;
    }

    public static void main(String[] args) throws Exception {
        StoreClient client = new StoreClient(args[0]);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        OUT.println("done");
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            try {
                client.run(line.trim().split(" "));
                OUT.println("done");
            } catch (Exception failure) {
                failure.printStackTrace();
                OUT.println("error " + String.valueOf(failure).replaceAll("\\s+", " "));
            }
        }
        Runtime.getRuntime().halt(0);
    }

    private void run(String[] words) throws Exception {
        switch (words[0]) {
            case "topic" -> admin.createAndUpdateTopicConfig(
                words[1], new TopicConfig(words[2], Integer.parseInt(words[3]), Integer.parseInt(words[3])));
            case "route" -> Waiting.until("a master for " + words[1], () -> {
                TopicRouteData route = admin.examineTopicRouteInfo(words[1]);
                return route.getBrokerDatas().stream().anyMatch((broker) -> broker.getBrokerAddrs().containsKey(0L));
            });
            case "pull" -> pull(words[1], Integer.parseInt(words[2]));
            case "query" -> query(words[1], words[2]);
            case "view" -> OUT.println(Lines.record(admin.viewMessage(words[1], words[2])));
            case "offset" -> offset(words[1], words[2], Integer.parseInt(words[3]));
            case "send" -> send(words[1], Integer.parseInt(words[2]), Integer.parseInt(words[3]), words[4]);
            case "write" -> new Kinds(namesrv, producer, words[1]).write();
            default -> throw new IllegalArgumentException("no such command: " + words[0]);
        }
    }

    private MessageQueue queue(String topic, int id) throws Exception {
        MessageQueue[] found = new MessageQueue[1];
        Waiting.until("queue " + id + " of " + topic, () -> {
            for (MessageQueue queue : puller.fetchSubscribeMessageQueues(topic)) {
                if (queue.getQueueId() == id) {
                    found[0] = queue;
                }
            }
            return found[0] != null;
        });
        return found[0];
    }

    private void pull(String topic, int id) throws Exception {
        MessageQueue queue = queue(topic, id);
        long max = puller.maxOffset(queue);
        for (long next = puller.minOffset(queue); next < max;) {
            PullResult result = puller.pull(queue, "*", next, 32);
            if (result.getPullStatus() != PullStatus.FOUND) {
                throw new IllegalStateException(result + " at " + next + " of " + queue);
            }
            for (MessageExt message : result.getMsgFoundList()) {
                OUT.println(Lines.record(message));
            }
            next = result.getNextBeginOffset();
        }
    }

    private void query(String topic, String key) throws Exception {
        TreeSet<Long> found = new TreeSet<>();
        try {
            QueryResult result = admin.queryMessage(topic, key, 64, 0, Long.MAX_VALUE);
            result.getMessageList().forEach((message) -> found.add(message.getCommitLogOffset()));
        } catch (org.apache.rocketmq.client.exception.MQClientException none) {
            if (none.getResponseCode() != org.apache.rocketmq.remoting.protocol.ResponseCode.NO_MESSAGE
                && none.getResponseCode() != 208) {
                throw none;
            }
        }
        StringBuilder text = new StringBuilder("index " + topic + " " + key + " ");
        found.forEach((physical) -> text.append(text.charAt(text.length() - 1) == ' ' ? "" : ",").append(physical));
        OUT.println(text);
    }

    private void offset(String group, String topic, int id) throws Exception {
        DefaultMQPullConsumer consumer = puller(group);
        OUT.println("offset " + group + " " + topic + " " + id + " " + consumer.fetchConsumeOffset(queue(topic, id), true));
        consumer.shutdown();
    }

    private void send(String topic, int id, int count, String key) throws Exception {
        MessageQueue queue = queue(topic, id);
        for (int i = 0; i < count; i++) {
            Message message = new Message(topic, "TagS", key + i, ("sent " + i).getBytes(StandardCharsets.UTF_8));
            SendResult result = producer.send(message, queue);
            OUT.println("sent " + result.getOffsetMsgId() + " " + result.getQueueOffset() + " " + result.getSendStatus());
        }
    }
}

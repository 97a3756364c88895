package interop;

import static interop.Events.check;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.acl.common.AclClientRPCHook;
import org.apache.rocketmq.acl.common.SessionCredentials;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.remoting.RPCHook;
import org.apache.rocketmq.remoting.protocol.body.AclInfo;
import org.apache.rocketmq.remoting.protocol.body.UserInfo;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/**
 * A group that asks who calls: users and policies made by the admin client, a producer and a consumer that may do what is theirs, and
 * clients that may not, through a failover.
 *
 *   before, after LEADER    the address of the leader; before and after the death of the first one   → check…, done
 *   exit                    shuts everything down                                                    → done, exit status 0
 *
 * Arguments: NAMESRV TOPIC GROUP.
 */
public final class Acl {
    private static final int NO_PERMISSION = 16;
    private static final int COUNT = 20;

    private final Clients clients;
    private final String topic;
    private final String group;
    private final RPCHook root = hook("root", "the-password-of-root");
    private final RPCHook shop = hook("shop", "the-password-of-shop");
    private final Set<String> consumed = ConcurrentHashMap.newKeySet();
    private DefaultMQAdminExt admin;
    private DefaultMQProducer producer;
    private DefaultMQPushConsumer consumer;

    private Acl(String namesrv, String topic, String group) {
        this.clients = new Clients(namesrv);
        this.topic = topic;
        this.group = group;
    }

    public static void main(String[] arguments) throws Exception {
        Acl acl = new Acl(arguments[0], arguments[1], arguments[2]);
        CommandLoop.run(words -> {
            switch (words[0]) {
                case "before" -> acl.before(words[1]);
                case "after" -> acl.after(words[1]);
                case "exit" -> acl.shutdown();
                default -> throw CommandLoop.noSuchCommand(words);
            }
        });
    }

    private void before(String leader) throws Exception {
        admin = new DefaultMQAdminExt(root);
        clients.configure(admin, "admin");
        admin.start();
        admin.createAndUpdateTopicConfig(leader, new TopicConfig(topic, 4, 4));
        admin.createUser(leader, "shop", "the-password-of-shop", "Normal");
        List<String> users = admin.listUser(leader, "").stream().map(UserInfo::getUsername).sorted().toList();
        Clients.expectEqual(users, List.of("root", "shop"), "the users");
        check("the admin client makes a user", String.join(", ", users));

        producer = producer(shop);
        expectRefused("a send without leave", () -> producer.send(message("x", 0)), "has no permission to access Topic:" + topic);
        allow(leader, "Topic:" + topic, "Pub", "Sub");
        allow(leader, "Group:" + group, "Sub");
        AclInfo acl = admin.getAcl(leader, "User:shop");
        Clients.expectEqual(acl.getPolicies().get(0).getEntries().size(), 2, "entries of the user");
        check("and its policies", "User:shop may Pub and Sub " + topic);

        consumer = new DefaultMQPushConsumer(group, shop);
        clients.configure(consumer, "consumer");
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(message -> consumed.add(message.getKeys()));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        roundTrip("before");
        refusals(leader);
    }

    private void after(String leader) throws Exception {
        Clients.until("the users are known to the next leader", () -> admin.getUser(leader, "shop") != null);
        Clients.expectEqual(admin.getUser(leader, "shop").getUserType(), "Normal", "the type of the user");
        roundTrip("after");
        refusals(leader);
        admin.deleteAcl(leader, "User:shop", "Topic:" + topic);
        expectRefused("a send whose leave was taken", () -> producer.send(message("x", 1)), "no matched policies");
        admin.deleteUser(leader, "shop");
        expectRefused("a send of a user that was deleted", () -> producer.send(message("x", 2)), "User:shop is not found");
    }

    private void roundTrip(String when) throws Exception {
        for (int n = 0; n < COUNT; n++) {
            Message message = message(when, n);
            Clients.send(message.getKeys() + " is acknowledged", () -> producer.send(message));
        }
        Clients.until("all of them are consumed", () -> {
            for (int n = 0; n < COUNT; n++) {
                if (!consumed.contains(when + "-" + n)) {
                    return false;
                }
            }
            return true;
        });
        check("a producer and a consumer do what is theirs, " + when, COUNT + " messages, signed");
    }

    private void refusals(String leader) throws Exception {
        expectRefused("another topic", () -> producer.send(new Message(topic + "_other", "x".getBytes())), "no matched policies");
        DefaultMQProducer unsigned = producer(null);
        expectRefused("nobody", () -> unsigned.send(message("x", 3)), "username cannot be null");
        unsigned.shutdown();
        DefaultMQProducer wrong = producer(hook("shop", "another-password"));
        expectRefused("a wrong signature", () -> wrong.send(message("x", 4)), "check signature failed");
        wrong.shutdown();
        DefaultMQAdminExt other = new DefaultMQAdminExt(shop);
        clients.configure(other, "other");
        other.start();
        expectRefused("an admin call of a normal user", () -> {
            other.createUser(leader, "eve", "x", "Super");
            return null;
        }, "has no permission to access Cluster:");
        other.shutdown();
    }

    private void allow(String leader, String resource, String... actions) throws Exception {
        admin.createAcl(leader, "User:shop", List.of(resource), List.of(actions), List.of("127.0.0.0/8"), "Allow");
    }

    private DefaultMQProducer producer(RPCHook hook) throws Exception {
        DefaultMQProducer made = new DefaultMQProducer(group + "_producer", hook);
        clients.configure(made, "producer");
        made.setRetryTimesWhenSendFailed(0);
        made.start();
        Clients.until("the route of " + topic, () -> made.fetchPublishMessageQueues(topic).size() == 4);
        return made;
    }

    private Message message(String when, int n) {
        return new Message(topic, "TagA", when + "-" + n, "body".getBytes(StandardCharsets.UTF_8));
    }

    private static RPCHook hook(String accessKey, String secretKey) {
        return new AclClientRPCHook(new SessionCredentials(accessKey, secretKey));
    }

    private static void expectRefused(String what, Callable<?> call, String remark) throws Exception {
        try {
            call.call();
        } catch (MQBrokerException | MQClientException failure) {
            // Of a send it is the cause.
            if (!((failure instanceof MQBrokerException ? failure : failure.getCause()) instanceof MQBrokerException refused)) {
                throw failure;
            }
            Clients.expectEqual(refused.getResponseCode(), NO_PERMISSION, what + ": the code");
            Clients.expect(refused.getErrorMessage().contains(remark), what + ": " + refused.getErrorMessage());
            check(what + " is refused", refused.getErrorMessage());
            return;
        }
        throw new IllegalStateException(what + " was not refused");
    }

    private void shutdown() {
        consumer.shutdown();
        producer.shutdown();
        admin.shutdown();
    }
}
